package wire

import (
	"reflect"
	"strings"
	"testing"
)

// offer is the payload of an offer with something behind it.
func offer(lists string) []byte {
	return []byte("\x00\x00\x00\x06\x00\x00\x01\xff\x00\x1f\xff\xff" + lists)
}

// Names of a macro list are parted by spaces or commas, any number of them.
func TestMacroListSeparators(t *testing.T) {
	for list, want := range map[string][]string{
		"":                      nil,
		" , ":                   nil,
		"i":                     {"i"},
		"i j":                   {"i", "j"},
		"i,{auth_type}, {v}\tj": {"i", "{auth_type}", "{v}", "j"},
		" i ":                   {"i"},
		"\xff \xfe":             {"\xff", "\xfe"},
	} {
		n, err := ParseNegotiation(offer("\x00\x00\x00\x02" + list + "\x00"))
		if err != nil {
			t.Fatalf("%q: %v", list, err)
		}
		if got := []MacroList{{StageMail, want}}; !reflect.DeepEqual(n.MacroLists, got) {
			t.Errorf("%q: got %v", list, n.MacroLists)
		}
	}
}

// Lists come in the order in which they were sent, a stage twice if it was.
func TestMacroListsKeepTheirOrder(t *testing.T) {
	n, err := ParseNegotiation(offer("\x00\x00\x00\x06i\x00\x00\x00\x00\x00j\x00\x00\x00\x00\x06v\x00"))
	want := []MacroList{{StageEOH, []string{"i"}}, {StageConnect, []string{"j"}}, {StageEOH, []string{"v"}}}
	if err != nil || !reflect.DeepEqual(n.MacroLists, want) {
		t.Errorf("got %v, %v", n.MacroLists, err)
	}
}

// A list of a stage that we do not know is left out, and what follows is read.
func TestAMacroListOfAnUnknownStageIsLeftOut(t *testing.T) {
	n, err := ParseNegotiation(offer("\x00\x00\x00\x07x y\x00\xff\xff\xff\xffz\x00\x00\x00\x00\x03i\x00"))
	if want := []MacroList{{StageRcpt, []string{"i"}}}; err != nil || !reflect.DeepEqual(n.MacroLists, want) {
		t.Errorf("got %v, %v", n.MacroLists, err)
	}
}

// Bits and versions that we have no name for are kept: what to make of them is
// not for the codec to say.
func TestUnknownBitsAreKept(t *testing.T) {
	n, err := ParseNegotiation([]byte("\x01\x00\x00\x07\xff\xff\xff\xff\xfe\xff\xff\xff"))
	if err != nil || n.Version != 0x01000007 || n.Actions != 0xffffffff || n.Steps != 0xfeffffff {
		t.Errorf("got %+v, %v", n, err)
	}
}

// A frame full of names, or of empty lists, is refused: it would take many times
// its size in memory.
func TestTooManyMacroNamesAreRefused(t *testing.T) {
	for what, lists := range map[string]string{
		"names": "\x00\x00\x00\x00" + strings.Repeat("i ", 1000) + "\x00",
		"lists": strings.Repeat("\x00\x00\x00\x00\x00", 1001),
	} {
		if _, err := ParseNegotiation(offer(lists)); err == nil || !strings.Contains(err.Error(), "1000 macro names") {
			t.Errorf("too many %s: %v", what, err)
		}
	}
	if _, err := ParseNegotiation(offer("\x00\x00\x00\x00" + strings.Repeat("i ", 999) + "\x00")); err != nil {
		t.Errorf("as many as are allowed: %v", err)
	}
}
