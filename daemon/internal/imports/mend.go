package imports

import (
	"bytes"
	"strings"
)

// maxMends bounds how often what is written is mended.
const maxMends = 100

// written writes the configuration. What Check has against it is commented out, line by
// line, and is a finding: so what comes out can be used.
func (p *plan) written() ([]byte, []Finding) {
	findings := p.all()
	out := p.render()
	if p.options.Check == nil {
		return out, findings
	}
	for range maxMends {
		faults := p.options.Check(out)
		if len(faults) == 0 {
			break
		}
		fault := faults[0]
		lines := bytes.SplitAfter(out, []byte("\n"))
		at := min(max(fault.Line, 1), len(lines)) - 1
		findings = append(findings, Finding{"milterkit", at + 1, shortened(string(lines[at])), fault.Message + "; it is commented out"})
		from, to := about(lines, at)
		for i := from; i < to; i++ {
			if line := bytes.TrimRight(lines[i], "\r\n"); len(line) > 0 && line[0] != '#' {
				lines[i] = []byte("# " + string(lines[i]))
			}
		}
		lines[from] = append([]byte("# "+printable(fault.Message)+"\n"), lines[from]...)
		out = bytes.Join(lines, nil)
	}
	return out, findings
}

// about is the part of the file that is wrong where line at is: the line, with the
// rest of its list; or, where it is what the milter is, all of the milter.
func about(lines [][]byte, at int) (from, to int) {
	key, _, _ := strings.Cut(string(lines[at]), "=")
	switch strings.TrimSpace(key) {
	case "name", "use", "socket", "[milter.options]", "[[milter]]", "[[milter.options.key]]", "":
		from = at
		for from > 0 && !bytes.HasPrefix(lines[from], []byte("[[milter]]")) {
			from--
		}
		for to = at + 1; to < len(lines) && !bytes.HasPrefix(lines[to], []byte("[[milter]]")); to++ {
		}
		return from, to
	}
	to = at + 1
	for to < len(lines) && bytes.HasPrefix(lines[to], []byte("  ")) {
		to++
	}
	if to < len(lines) && bytes.HasPrefix(lines[to], []byte("]")) {
		to++
	}
	return at, to
}
