package main

import (
	"net"
	"net/textproto"

	emersion "github.com/emersion/go-milter"
)

// onEmersion is the filter on emersion/go-milter.
type onEmersion struct{ body int }

func (f *onEmersion) Connect(string, string, uint16, net.IP, *emersion.Modifier) (emersion.Response, error) {
	return emersion.RespContinue, nil
}

func (f *onEmersion) Helo(string, *emersion.Modifier) (emersion.Response, error) {
	return emersion.RespContinue, nil
}

func (f *onEmersion) MailFrom(string, *emersion.Modifier) (emersion.Response, error) {
	return emersion.RespContinue, nil
}

func (f *onEmersion) RcptTo(string, *emersion.Modifier) (emersion.Response, error) {
	return emersion.RespContinue, nil
}

func (f *onEmersion) Header(string, string, *emersion.Modifier) (emersion.Response, error) {
	return emersion.RespContinue, nil
}

func (f *onEmersion) Headers(textproto.MIMEHeader, *emersion.Modifier) (emersion.Response, error) {
	return emersion.RespContinue, nil
}

func (f *onEmersion) BodyChunk(chunk []byte, _ *emersion.Modifier) (emersion.Response, error) {
	f.body += len(chunk)
	return emersion.RespContinue, nil
}

func (f *onEmersion) Body(*emersion.Modifier) (emersion.Response, error) {
	return emersion.RespContinue, nil
}

func (f *onEmersion) Abort(*emersion.Modifier) error { return nil }

func serveEmersion(ln net.Listener) error {
	s := &emersion.Server{NewMilter: func() emersion.Milter { return &onEmersion{} }}
	return s.Serve(ln)
}
