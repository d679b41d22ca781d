package test

import "testing"

var scripts = map[string]map[string]script{}

func TestActions(t *testing.T) {}
