package greylist

import (
	"context"
	_ "embed"
	"errors"
	"fmt"
	"iter"
	neturl "net/url"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// A Redis is a Store in a Redis or Valkey server, which several mail servers may
// share. It connects when it is first asked something. What expires there the
// server removes itself.
type Redis struct {
	client *redis.Client
	prefix string
}

//go:embed check.lua
var checkLua string

var checkScript = redis.NewScript(checkLua)

// NewRedis returns the store in the server at a URL, such as
// "redis://127.0.0.1:6379/0", "rediss://" for TLS, or "unix:///run/redis/redis.sock?db=0". All
// its keys begin with prefix.
func NewRedis(url, prefix string) (*Redis, error) {
	o, err := redis.ParseURL(url)
	if e := (*neturl.Error)(nil); errors.As(err, &e) {
		err = e.Err // without the URL, which may have a password
	}
	if err != nil && strings.Contains(err.Error(), "@") { // what stands before it may be one too
		err = errors.New("this is no URL of a Redis server")
	}
	if err != nil {
		return nil, fmt.Errorf(`%s; write a URL such as "redis://127.0.0.1:6379/0"`, strings.TrimPrefix(err.Error(), "redis: "))
	}
	o.ContextTimeoutEnabled = true
	o.DialTimeout = storeTime
	o.MaxRetries = -1 // none: mail waits
	o.DialerRetries = 1
	o.DisableIdentity = true
	o.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return &Redis{redis.NewClient(o), prefix}, nil
}

// separator stands between the parts of a triplet's key. Addresses have none.
const separator = "\n"

func (s *Redis) key(k Key) string {
	return s.prefix + "triplet:" + strings.Join([]string{k.Client, k.Sender, k.Recipient}, separator)
}

func (s *Redis) allowedKey() string { return s.prefix + "allowed" }

// failed says which server an error is about.
func (s *Redis) failed(err error) error {
	return fmt.Errorf("redis %s: %w", s.client.Options().Addr, err)
}

// Check implements Store.
func (s *Redis) Check(ctx context.Context, t Try, p Policy) (Record, error) {
	args := make([]any, 0, 4+len(t.Names))
	args = append(args, t.At.UnixMilli(), p.Delay.Milliseconds(), p.RetryWindow.Milliseconds(), p.Lifetime.Milliseconds())
	for _, name := range t.Names {
		args = append(args, name)
	}
	fields, err := checkScript.Run(ctx, s.client, []string{s.key(t.Key), s.allowedKey()}, args...).StringSlice()
	if err != nil {
		return Record{}, s.failed(err)
	}
	r, err := parseRecord(fields)
	if err != nil {
		return Record{}, s.failed(err)
	}
	return r, nil
}

// parseRecord reads state, first, last, tries and expires.
func parseRecord(fields []string) (Record, error) {
	var n [5]int64
	if len(fields) != len(n) {
		return Record{}, fmt.Errorf("a record has %d fields, want %d", len(fields), len(n))
	}
	for i, f := range fields {
		var err error
		if n[i], err = strconv.ParseInt(f, 10, 64); err != nil {
			return Record{}, fmt.Errorf("a record has the field %q, which is no number", f)
		}
	}
	at := func(ms int64) time.Time { return time.UnixMilli(ms).UTC() }
	if State(n[0]) == Allowed {
		return Record{State: Allowed, First: at(n[1])}, nil
	}
	return Record{State(n[0]), at(n[1]), at(n[2]), int(n[3]), at(n[4])}, nil
}

// Allow implements Store.
func (s *Redis) Allow(ctx context.Context, name string, now time.Time) error {
	if err := s.client.HSet(ctx, s.allowedKey(), name, now.UnixMilli()).Err(); err != nil {
		return s.failed(err)
	}
	return nil
}

// Entries implements Store.
func (s *Redis) Entries(ctx context.Context, now time.Time) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		allowed, err := s.client.HGetAll(ctx, s.allowedKey()).Result()
		if err != nil {
			yield(Entry{}, s.failed(err))
			return
		}
		for name, since := range allowed {
			ms, _ := strconv.ParseInt(since, 10, 64)
			if !yield(Entry{Key{Client: name}, Record{State: Allowed, First: time.UnixMilli(ms).UTC()}}, nil) {
				return
			}
		}
		seen := map[string]bool{} // a scan may tell of a key twice
		for cursor := uint64(0); ; {
			var keys []string
			if keys, cursor, err = s.client.Scan(ctx, cursor, escapeGlob(s.prefix)+"triplet:*", 1000).Result(); err != nil {
				yield(Entry{}, s.failed(err))
				return
			}
			entries, err := s.entries(ctx, keys, seen)
			if err != nil {
				yield(Entry{}, s.failed(err))
				return
			}
			for _, e := range entries {
				if now.Before(e.Expires) && !yield(e, nil) {
					return
				}
			}
			if cursor == 0 {
				return
			}
		}
	}
}

// entries reads the records of keys, but for those that are gone meanwhile, or
// are none.
func (s *Redis) entries(ctx context.Context, keys []string, seen map[string]bool) ([]Entry, error) {
	var entries []Entry
	var records []*redis.SliceCmd
	pipe := s.client.Pipeline()
	for _, key := range keys {
		parts := strings.Split(strings.TrimPrefix(key, s.prefix+"triplet:"), separator)
		if len(parts) != 3 || seen[key] {
			continue
		}
		seen[key] = true
		entries = append(entries, Entry{Key: Key{parts[0], parts[1], parts[2]}})
		records = append(records, pipe.HMGet(ctx, key, "state", "first", "last", "tries", "expires"))
	}
	if len(records) == 0 {
		return nil, nil
	}
	if _, err := pipe.Exec(ctx); err != nil {
		return nil, err
	}
	read := entries[:0]
	for i, cmd := range records {
		if r, err := parseRecord(texts(cmd.Val())); err == nil {
			read = append(read, Entry{entries[i].Key, r})
		}
	}
	return read, nil
}

// texts returns those values of a hash that are there.
func texts(values []any) []string {
	found := make([]string, 0, len(values))
	for _, v := range values {
		if text, ok := v.(string); ok {
			found = append(found, text)
		}
	}
	return found
}

// escapeGlob returns a pattern that stands for the text itself.
func escapeGlob(text string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`, `]`, `\]`).Replace(text)
}

// Forget implements Store.
func (s *Redis) Forget(ctx context.Context, entries []Entry) (int, error) {
	total := 0
	for len(entries) > 0 {
		n := min(len(entries), 1000)
		pipe := s.client.Pipeline()
		var gone []*redis.IntCmd
		for _, e := range entries[:n] {
			if e.State == Allowed {
				gone = append(gone, pipe.HDel(ctx, s.allowedKey(), e.Client))
			} else {
				gone = append(gone, pipe.Del(ctx, s.key(e.Key)))
			}
		}
		if _, err := pipe.Exec(ctx); err != nil {
			return total, s.failed(err)
		}
		for _, cmd := range gone {
			total += int(cmd.Val())
		}
		entries = entries[n:]
	}
	return total, nil
}

// Close implements Store.
func (s *Redis) Close() error { return s.client.Close() }
