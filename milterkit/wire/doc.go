// Package wire is the milter protocol as bytes.
package wire
