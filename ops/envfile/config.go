package envfile

import "strings"

// Config is the content of env.mosparo.php: a flat array with its order. The zero Config is empty and ready to use.
// Not safe for concurrent change.
type Config struct {
	entries []Entry
}

// Get is the value of key, and whether the key is there.
func (c *Config) Get(key string) (Value, bool) {
	for _, e := range c.entries {
		if e.Key == key {
			return e.Value, true
		}
	}
	return Value{}, false
}

// Text is the value of key as a string, "" if the key is not there.
func (c *Config) Text(key string) string {
	v, _ := c.Get(key)
	return v.Text()
}

// Set gives key a value: at its place if it is there, else at the end, as mosparo does.
func (c *Config) Set(key string, v Value) { c.entries = put(c.entries, Entry{key, v}) }

// Delete removes key and reports whether it was there.
func (c *Config) Delete(key string) bool {
	for i, e := range c.entries {
		if e.Key == key {
			c.entries = append(c.entries[:i], c.entries[i+1:]...)
			return true
		}
	}
	return false
}

// Entries are all entries in order. The slice is a copy.
func (c *Config) Entries() []Entry { return append([]Entry(nil), c.entries...) }

// Len is the number of keys.
func (c *Config) Len() int { return len(c.entries) }

// Clone is an independent copy.
func (c *Config) Clone() *Config { return &Config{entries: c.Entries()} }

// Format is the file as mosparo itself writes it. What mosparo wrote comes back byte for byte from ParsePHP and Format.
func (c *Config) Format() []byte {
	var b strings.Builder
	b.WriteString("<?php\n\nreturn ")
	exportArray(&b, c.entries, 0)
	b.WriteString(";\n")
	return []byte(b.String())
}
