package milterkit

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/milterkit/sdk/milterkit/wire"
)

// A message that the caller refuses for a reason of its own is logged as refused
// at its header, also where no child was asked since RCPT.
func TestRefusalOfTheCallersOwnIsLogged(t *testing.T) {
	var log bytes.Buffer
	d := quietDispatcher(t, Slot{Child: native("a", Hooks{})})
	d.Logger = slog.New(slog.NewTextHandler(&log, nil))
	w := d.Walk(wire.AllActions)
	w.Mail(ctxTest, NewAddress("<a@b>"))
	w.Rcpt(ctxTest, NewAddress("<c@d>"))
	w.Refuse(Reply(552, "5.3.4 Message header is longer than 10 bytes"))
	w.Close()
	if s := log.String(); !strings.Contains(s, "by=milterkit at=header") || strings.Contains(s, "refused_rcpts") {
		t.Error(s)
	}
}
