package main

import (
	"testing"
	"time"

	"github.com/milterkit/sdk/milterkit"
	"github.com/milterkit/sdk/milterkit/miltertest"
)

// Whose mail is held.
func TestAnswers(t *testing.T) {
	r := &miltertest.Resolver{Zone: map[string]miltertest.Records{
		"7.2.0.192.list.example.org":  {IP: []string{"127.0.0.2"}},
		"9.2.0.192.list.example.org":  {Temporary: true},
		"10.2.0.192.list.example.org": {Silent: true},
	}}
	miltertest.Run(t, "testdata/listed.txt",
		milterkit.Slot{Child: hold(), When: listed(r, "list.example.org"), CommandTimeout: 300 * time.Millisecond})
	if q := r.Queries(); len(q) != 4 {
		t.Errorf("asked %v, want one query for each client with an IPv4 address", q)
	}
}

// The child keeps to the rules of package milterkit.
func TestRules(t *testing.T) {
	t.Parallel()
	miltertest.TestChild(t, hold)
}
