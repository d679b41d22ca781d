package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/milterkit/sdk/bench"
	"github.com/milterkit/sdk/bench/peers/page"
)

// write prints the report, and writes it into a folder where there is one: as
// text, for benchstat, as data, and as a page.
func write(r *bench.Report, w io.Writer, dir string) error {
	if err := bench.WriteTable(w, r); err != nil || dir == "" {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	err := errors.Join(
		toFile(filepath.Join(dir, "report.txt"), func(w io.Writer) error { return bench.WriteTable(w, r) }),
		toFile(filepath.Join(dir, "bench.txt"), func(w io.Writer) error { return bench.WriteBenchfmt(w, r) }),
		toFile(filepath.Join(dir, "report.json"), func(w io.Writer) error { return writeData(w, r) }),
		page.Write(dir, r),
	)
	if err == nil {
		_, err = fmt.Fprintf(w, "\nWritten to %s: report.txt, bench.txt (for benchstat), report.json, %s\n", dir, page.File)
	}
	return err
}

// toFile makes a file.
func toFile(name string, write func(io.Writer) error) error {
	f, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}
