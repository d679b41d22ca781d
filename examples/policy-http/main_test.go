package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// service is a policy service that does as the recipient says.
func service(t *testing.T) string {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		q := r.URL.Query()
		switch q.Get("recipient") {
		case "forbidden@example.org":
			w.WriteHeader(http.StatusForbidden)
			fmt.Fprintf(w, "5.7.1 %s [%s] may not write to me\n", q.Get("sender"), q.Get("client"))
		case "broken@example.org":
			w.WriteHeader(http.StatusInternalServerError)
		case "slow@example.org":
			<-r.Context().Done() // it has hung up
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}))
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		s.Close()
	})
	return s.URL
}

// What clients are told: by the service, and by the default action where it does not answer as it should.
func TestAnswers(t *testing.T) {
	child := policy(service(t))
	for script, action := range map[string]milterkit.DefaultAction{
		"testdata/closed.txt": milterkit.DefaultTempFail, "testdata/open.txt": milterkit.DefaultAccept} {
		miltertest.Run(t, script, milterkit.Slot{Child: child, CommandTimeout: 300 * time.Millisecond, DefaultAction: action})
	}
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	url := service(t)
	miltertest.TestChild(t, func() milterkit.Child { return policy(url) })
}
