// Bill tells what a Go program was made of: as a bill of materials for machines
// (CycloneDX), and as the licences that go with it.
//
//	bill sbom PROGRAM
//	bill notices PROGRAM
package main

import (
	"debug/buildinfo"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime/debug"
	"strings"

	cdx "github.com/CycloneDX/cyclonedx-go"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bill:", err)
		os.Exit(1)
	}
}

func run(args []string, w io.Writer) error {
	if len(args) != 2 {
		return fmt.Errorf("usage: bill sbom|notices PROGRAM")
	}
	info, err := buildinfo.ReadFile(args[1])
	if err != nil {
		return err
	}
	switch args[0] {
	case "sbom":
		return cdx.NewBOMEncoder(w, cdx.BOMFileFormatJSON).SetPretty(true).Encode(bom(info))
	case "notices":
		return notices(w, info)
	}
	return fmt.Errorf("%s: unknown", args[0])
}

// bom is the program with the modules that are linked into it. It has no time and no
// serial number: the same program has the same bill.
func bom(info *debug.BuildInfo) *cdx.BOM {
	b := cdx.NewBOM()
	b.SerialNumber = ""
	main := component(cdx.ComponentTypeApplication, &info.Main)
	if v := os.Getenv("VERSION"); v != "" {
		main.Version = "v" + strings.TrimPrefix(v, "v")
		main.PackageURL = purl(info.Main.Path, main.Version)
		main.BOMRef = main.PackageURL
	}
	main.Properties = &[]cdx.Property{}
	for _, s := range info.Settings {
		if s.Key == "GOOS" || s.Key == "GOARCH" || s.Key == "CGO_ENABLED" || s.Key == "vcs.revision" {
			*main.Properties = append(*main.Properties, cdx.Property{Name: "go:build:" + s.Key, Value: s.Value})
		}
	}
	b.Metadata = &cdx.Metadata{Component: &main}
	std := debug.Module{Path: "std", Version: info.GoVersion}
	all := []cdx.Component{component(cdx.ComponentTypeLibrary, &std)}
	refs := []string{all[0].BOMRef}
	for _, m := range info.Deps {
		if m.Replace != nil {
			m = m.Replace
		}
		c := component(cdx.ComponentTypeLibrary, m)
		all, refs = append(all, c), append(refs, c.BOMRef)
	}
	b.Components = &all
	b.Dependencies = &[]cdx.Dependency{{Ref: main.BOMRef, Dependencies: &refs}}
	return b
}

func component(kind cdx.ComponentType, m *debug.Module) cdx.Component {
	p := purl(m.Path, m.Version)
	return cdx.Component{BOMRef: p, Type: kind, Name: m.Path, Version: m.Version, PackageURL: p}
}

// purl is the name of a module among packages of all kinds.
// Source: https://github.com/package-url/purl-spec, type golang.
func purl(path, version string) string {
	return "pkg:golang/" + path + "@" + strings.ReplaceAll(version, "+", "%2B")
}

// licence is what the files with the terms of a module are called.
var licence = regexp.MustCompile(`(?i)^(licen[cs]e|copying|notice|patents)`)

// notices writes the terms of all that is linked into the program, which ask for it.
func notices(w io.Writer, info *debug.BuildInfo) error {
	goroot, err := exec.Command("go", "env", "GOROOT").Output()
	if err != nil {
		return fmt.Errorf("go env: %w", err)
	}
	fmt.Fprintln(w, "milterkit is linked with the following, which come under their own terms.")
	if err := terms(w, "Go "+info.GoVersion, strings.TrimSpace(string(goroot))); err != nil {
		return err
	}
	for _, m := range info.Deps {
		dir, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", m.Path).Output()
		if err != nil {
			return fmt.Errorf("go list %s: %w", m.Path, err)
		}
		if err := terms(w, m.Path+" "+m.Version, strings.TrimSpace(string(dir))); err != nil {
			return err
		}
	}
	return nil
}

// terms writes those of the module in a folder.
func terms(w io.Writer, name, dir string) error {
	files, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	count := 0
	for _, f := range files {
		if f.IsDir() || !licence.MatchString(f.Name()) {
			continue
		}
		text, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			return err
		}
		count++
		fmt.Fprintf(w, "\n==== %s: %s\n\n%s\n", name, f.Name(), strings.TrimSpace(string(text)))
	}
	if count == 0 {
		return fmt.Errorf("%s has no licence in %s", name, dir)
	}
	return nil
}
