package daemon

import (
	"encoding/json"
	"fmt"
	"io"

	"github.com/milterkit/sdk/daemon/internal/doctor"
)

// printReport prints what the doctor has found.
func printReport(w io.Writer, r *doctor.Report, asJSON bool) error {
	if asJSON {
		return printJSON(w, r)
	}
	if len(r.Findings) > 0 {
		fmt.Fprintln(w, "wrong:")
	}
	for _, f := range r.Findings {
		fmt.Fprintf(w, "  %s: %s\n", f.About, f.Message)
		place := "?"
		for _, m := range f.Mend {
			if at := m.File + "\x00" + m.Section; at != place {
				place = at
				fmt.Fprintf(w, "    %s\n", placeOf(m))
			}
			fmt.Fprintf(w, "        %s\n", m.Line)
		}
	}
	if len(r.Right) > 0 {
		fmt.Fprintln(w, "right:")
	}
	for _, f := range r.Right {
		fmt.Fprintf(w, "  %s: %s\n", f.About, f.Message)
	}
	if len(r.Notes) > 0 {
		fmt.Fprintln(w, "to be known:")
	}
	for _, note := range r.Notes {
		fmt.Fprintf(w, "  %s\n", note)
	}
	return nil
}

// placeOf says where the lines belong that follow.
func placeOf(m doctor.Mend) string {
	switch {
	case m.File == "":
		return "as root:"
	case m.Section == "":
		return "in " + m.File + ":"
	}
	return "in " + m.File + ", " + m.Section + ":"
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	return e.Encode(v)
}
