package clamd

import (
	"errors"
	"testing"
	"time"
)

// What is wrong with an option is told with its name, and with what would be right.
func TestWrongOptions(t *testing.T) {
	t.Parallel()
	for want, change := range map[string]func(*Options){
		`addresses: there is no address; write unix:/PATH, inet:PORT@HOST or HOST:PORT`:                                                                        func(o *Options) { o.Addresses = nil },
		`addresses: "clamd" is not the address of a server; write unix:/PATH, inet:PORT@HOST or HOST:PORT`:                                                     func(o *Options) { o.Addresses = []string{"clamd"} },
		`timeout: 0s leaves clamd no time; write a time such as "2m"`:                                                                                          func(o *Options) { o.Timeout = 0 },
		`timeout: -1s leaves clamd no time; write a time such as "2m"`:                                                                                         func(o *Options) { o.Timeout = -time.Second },
		`max_size: 0 is not the size of a message; write one from 1 to "2047MiB", such as "25MiB"`:                                                             func(o *Options) { o.MaxSize = 0 },
		`max_size: 2147483648 is not the size of a message; write one from 1 to "2047MiB", such as "25MiB"`:                                                    func(o *Options) { o.MaxSize = 1 << 31 },
		`oversize: "scan" is not what can become of a message; write "accept", "reject", "tempfail" or "quarantine"`:                                           func(o *Options) { o.Oversize = "scan" },
		`infected: "accept" is not what can become of a message; write "reject", "discard", "quarantine" or "header"`:                                          func(o *Options) { o.Infected = "accept" },
		`infected: "header" marks a virus in the header, and headers = false leaves it unmarked; write "reject", "discard" or "quarantine", or headers = true`: func(o *Options) { o.Infected, o.Headers = "header", false },
		`text: "550 5.7.1 no" begins with a code that it will not have: the reply is "550 " and the text; write it as "5.7.1 Infected with %v"`:                func(o *Options) { o.Text = "550 5.7.1 no" },
		`text: "4.7.1 later" begins with a code that it will not have: the reply is "550 " and the text; write it as "5.7.1 Infected with %v"`:                 func(o *Options) { o.Text = "4.7.1 later" },
	} {
		o := Defaults
		change(&o)
		_, err := New(o)
		var named interface{ Option() string }
		if err == nil || err.Error() != want || !errors.As(err, &named) || named.Option() != want[:len(named.Option())] {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
}

// The defaults are right, and a child can be made where there is no clamd.
func TestDefaults(t *testing.T) {
	t.Parallel()
	if _, err := New(Defaults); err != nil {
		t.Error(err)
	}
}
