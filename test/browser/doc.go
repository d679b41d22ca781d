// Package browser tests the status page in a real browser, headless Chromium: a real
// milterkit behind which a real milter is stopped, and what a person would see, reach by
// keyboard, or be told by a screen reader. Accessibility is looked at by axe-core, whose
// one file stands in axe/ with its licence.
//
// It needs Chromium, which test/install.sh installs when it is given the word browser;
// `make test-browser` does both. As the other end-to-end tests it is run as root.
package browser
