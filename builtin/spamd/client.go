package spamd

import (
	"context"
	"errors"
	"fmt"
	"math"
	"net"
	"regexp"
	"strconv"
	"time"

	"github.com/teamwork/spamc"

	"github.com/milterkit/sdk/builtin/internal/letter"
	"github.com/milterkit/sdk/builtin/internal/peer"
)

// A result is what spamd has found.
type result struct {
	spam      bool
	score     float64
	threshold float64
	tests     []string
}

// ask asks one spamd about a message, as user, within timeout if that is not zero.
// When it returns nothing reads the letter any more. No error means that there was
// a whole answer with a score.
//
// Each call has a client, a dialer and a Header of its own: the library keeps the
// Content-length of a message in the Header that it was given, for the next one.
func ask(ctx context.Context, server peer.Addr, l *letter.Letter, user string, timeout time.Duration) (*result, error) {
	if timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeoutCause(ctx, timeout, fmt.Errorf("no answer within %s", timeout))
		defer cancel()
	}
	d := &dialer{server: server}
	defer d.close()
	r, err := symbols(ctx, d, &d.answer, l, user)
	switch {
	case ctx.Err() != nil:
		// What went wrong went wrong because the connection was closed for this.
		return nil, context.Cause(ctx)
	case err != nil:
		return nil, reason(err)
	}
	return r, nil
}

// symbols has the library ask, over a connection whose answer is a, and looks whether
// what it says has been said.
func symbols(ctx context.Context, d spamc.Dialer, a *answer, l *letter.Letter, user string) (_ *result, err error) {
	// The library panics at an answer with fields that only belong to questions,
	// such as "Set: x".
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("not an answer of spamd's: %v", p)
		}
	}()
	header := spamc.Header{}.Set("Content-length", strconv.FormatInt(l.Size(), 10))
	if user != "" {
		header.Set("User", user)
	}
	r, err := spamc.New("", d).Symbols(ctx, l.Reader(), header)
	if err != nil {
		return nil, err
	}
	if err := a.whole(); err != nil {
		return nil, err
	}
	return newResult(r)
}

// ruleName is what SpamAssassin calls a rule; it takes no other.
var ruleName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)

// newResult checks the library's result: it takes "nan" for a score, and any text
// for the names of tests.
func newResult(r *spamc.ResponseSymbols) (*result, error) {
	for _, n := range []float64{r.Score, r.BaseScore} {
		if math.IsNaN(n) || math.IsInf(n, 0) {
			return nil, fmt.Errorf("not an answer of spamd's: the score is %v", n)
		}
	}
	for _, test := range r.Symbols {
		if !ruleName.MatchString(test) {
			return nil, fmt.Errorf("not an answer of spamd's: %q is not the name of a test", letter.Clean(test, 40))
		}
	}
	return &result{r.IsSpam, r.Score, r.BaseScore, r.Symbols}, nil
}

// reason is why the library failed: the error that the others are about, without
// the address, which the caller knows.
func reason(err error) error {
	for {
		wrapped, ok := err.(interface{ Cause() error })
		if !ok {
			break
		}
		err = wrapped.Cause()
	}
	var op *net.OpError
	if errors.As(err, &op) {
		return fmt.Errorf("%s: %w", op.Op, peer.Reason(err))
	}
	return errors.New(letter.Clean(err.Error(), 300))
}
