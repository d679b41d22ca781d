// Package nearest finds the word that a misspelt one was most likely meant to be.
package nearest

import "fmt"

// To returns the word of words that word is most likely a misspelling of,
// or "" where none is near.
func To(word string, words []string) string {
	best, found := 1+max(1, len(word)/3), ""
	for _, w := range words {
		if d := distance(word, w, best); d < best {
			best, found = d, w
		}
	}
	return found
}

// DidYouMean is what an error message ends with where a word is most likely
// misspelt: "; did you mean …?", or nothing.
func DidYouMean(word string, words []string) string {
	if near := To(word, words); near != "" {
		return fmt.Sprintf("; did you mean %q?", near)
	}
	return ""
}

// distance is the number of letters to change, add, leave out or swap with
// their neighbour to get from a to b; limit where it is not below limit.
func distance(a, b string, limit int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= limit {
		return limit
	}
	var before []int
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		next := make([]int, len(b)+1)
		next[0] = i + 1
		for j := range len(b) {
			change := row[j]
			if a[i] != b[j] {
				change++
			}
			next[j+1] = min(change, row[j+1]+1, next[j]+1)
			if i > 0 && j > 0 && a[i] == b[j-1] && a[i-1] == b[j] {
				next[j+1] = min(next[j+1], before[j-1]+1)
			}
		}
		before, row = row, next
	}
	return min(row[len(b)], limit)
}
