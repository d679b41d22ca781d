package stack

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"time"
)

// Prometheus is a Prometheus that scrapes one milterkit, five times a second.
type Prometheus struct {
	Root *Root

	// Target is the address that is scraped, and Rules are its files of rules.
	Target string
	Rules  string

	port int
	daemon
}

// Start implements [Component].
func (p *Prometheus) Start() error {
	dir, err := p.Root.mkdir("prometheus")
	if err != nil {
		return err
	}
	if p.port, err = p.Root.FreePort(); err != nil {
		return err
	}
	conf := filepath.Join(dir, "prometheus.yml")
	if err := p.Root.write(conf, fmt.Sprintf("global: { scrape_interval: 200ms, scrape_timeout: 200ms, evaluation_interval: 200ms }\nrule_files: [%q]\n"+
		"scrape_configs: [{ job_name: milterkit, static_configs: [{ targets: [%q] }] }]\n", p.Rules, p.Target)); err != nil {
		return err
	}
	p.grace = stopLimit
	if err := p.launch(p.Root, "prometheus", dir, p.Root.nobody(), nil, "prometheus", "--config.file="+conf,
		"--storage.tsdb.path="+filepath.Join(dir, "data"), fmt.Sprintf("--web.listen-address=127.0.0.1:%d", p.port)); err != nil {
		return err
	}
	return p.ready("Prometheus", func() bool {
		resp, err := http.Get(p.url("/-/ready"))
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

func (p *Prometheus) url(path string) string {
	return fmt.Sprintf("http://127.0.0.1:%d%s", p.port, path)
}

// A Sample is a value of a series, with its labels.
type Sample struct {
	Labels map[string]string `json:"metric"`
	Value  [2]any            // the time, and the value as text
}

// Query returns what an expression is now.
func (p *Prometheus) Query(ctx context.Context, expr string) ([]Sample, error) {
	var answer struct {
		Error string
		Data  struct{ Result []Sample }
	}
	if err := p.get(ctx, "/api/v1/query?query="+url.QueryEscape(expr), &answer); err != nil {
		return nil, err
	}
	if answer.Error != "" {
		return nil, fmt.Errorf("stack: %s: %s", expr, answer.Error)
	}
	return answer.Data.Result, nil
}

// Await waits until an expression has one value, and that is it.
func (p *Prometheus) Await(ctx context.Context, expr, want string) error {
	for {
		got, err := p.Query(ctx, expr)
		if err == nil && len(got) == 1 && got[0].Value[1] == want {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("stack: %s is %v, want %s (%v)", expr, got, want, err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (p *Prometheus) get(ctx context.Context, path string, answer any) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url(path), nil)
	if err != nil {
		return err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	return json.NewDecoder(resp.Body).Decode(answer)
}
