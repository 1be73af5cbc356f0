package envfile

import (
	"fmt"
	"slices"
	"strings"
)

// Difference is one key whose value differs, ready to be shown: secrets are masked.
type Difference struct {
	Key    string `json:"key"`
	Action string `json:"action"` // "add", "change" or "remove"
	Old    string `json:"old,omitempty"`
	New    string `json:"new,omitempty"`
	Secret bool   `json:"secret,omitempty"`
}

// String is the difference as one line, with a sign in front.
func (d Difference) String() string {
	switch d.Action {
	case "add":
		return fmt.Sprintf("+ %s = %s", d.Key, d.New)
	case "remove":
		return fmt.Sprintf("- %s = %s", d.Key, d.Old)
	}
	return fmt.Sprintf("~ %s = %s -> %s", d.Key, d.Old, d.New)
}

// Lines are the differences one a line.
func Lines(list []Difference) string {
	lines := make([]string, len(list))
	for i, d := range list {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// DiffConfig lists what leads from old to new, in the order of new, what is removed last. The order of keys is no difference.
func DiffConfig(m Masker, old, new *Config) []Difference {
	var list []Difference
	show := func(e Entry) (string, bool) {
		secret := IsSecret(e.Key)
		if secret || e.Value.Kind() == String {
			return m.Value(e.Key, e.Value.Text(), false), secret
		}
		if e.Value.Kind() == Array {
			return m.array(e.Value), false
		}
		return e.Value.PHP(), false
	}
	for _, e := range new.entries {
		d := Difference{Key: e.Key, Action: "add"}
		d.New, d.Secret = show(e)
		if was, ok := old.Get(e.Key); ok {
			if was.Equal(e.Value) {
				continue
			}
			d.Action = "change"
			d.Old, _ = show(Entry{e.Key, was})
			if d.Old == d.New { // only the type differs: say so
				d.Old += " (" + was.Kind().String() + ")"
				d.New += " (" + e.Value.Kind().String() + ")"
			}
		}
		list = append(list, d)
	}
	for _, e := range old.entries {
		if _, ok := new.Get(e.Key); !ok {
			d := Difference{Key: e.Key, Action: "remove"}
			d.Old, d.Secret = show(e)
			list = append(list, d)
		}
	}
	return list
}

// array shows an array by its shape only, since its keys say nothing about secrets in it.
func (m Masker) array(v Value) string {
	return fmt.Sprintf("array of %d #%s", len(v.list), m.Fingerprint(v.PHP()))
}

// DiffEnv lists what leads from old to new by name, sorted. forced names keys whose values are secret whatever they are
// called, because they came from a secret reference.
func DiffEnv(m Masker, old, new map[string]string, forced map[string]bool) []Difference {
	var list []Difference
	for name, v := range new {
		secret := forced[name] || IsSecret(name)
		d := Difference{Key: name, Action: "add", New: m.Value(name, v, forced[name]), Secret: secret}
		if was, ok := old[name]; ok {
			if was == v {
				continue
			}
			d.Action, d.Old = "change", m.Value(name, was, forced[name])
		}
		list = append(list, d)
	}
	for name, v := range old {
		if _, ok := new[name]; !ok {
			list = append(list, Difference{Key: name, Action: "remove", Old: m.Value(name, v, forced[name]), Secret: forced[name] || IsSecret(name)})
		}
	}
	slices.SortFunc(list, func(a, b Difference) int { return strings.Compare(a.Key, b.Key) })
	return list
}
