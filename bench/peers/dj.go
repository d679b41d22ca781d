package main

import (
	"net"

	dj "github.com/d--j/go-milter"
)

// onDJ is the filter on d--j/go-milter. It has all that would by itself say
// that it needs no more of a message; the rest says continue by itself.
type onDJ struct {
	dj.NoOpMilter
	body int
}

func (f *onDJ) RcptTo(string, string, dj.Modifier) (*dj.Response, error) {
	return dj.RespContinue, nil
}

func (f *onDJ) Header(string, string, dj.Modifier) (*dj.Response, error) {
	return dj.RespContinue, nil
}

func (f *onDJ) BodyChunk(chunk []byte, _ dj.Modifier) (*dj.Response, error) {
	f.body += len(chunk)
	return dj.RespContinue, nil
}

func (f *onDJ) EndOfMessage(dj.Modifier) (*dj.Response, error) { return dj.RespContinue, nil }

func serveDJ(ln net.Listener) error {
	return dj.NewServer(dj.WithMilter(func() dj.Milter { return &onDJ{} })).Serve(ln)
}
