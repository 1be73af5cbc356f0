package inventory

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// schema is a JSON Schema as it is marshalled.
type schema map[string]any

// kind is one type of value in an inventory: how it is read, shown and described to editors. Keys, defaults, validation,
// the JSON Schema and the reference all come from the same kinds, so that they can't differ.
type kind[V any] struct {
	// read stores v in to, over what a lower layer stored there. It reports what is wrong and then leaves to alone.
	read func(d *decoder, v value, to *V)
	// emit gives what is stored as text, below path for parts. Secrets are masked.
	emit func(v *V, path string, out func(path, text string))
	// schema describes it; named object schemas are added to defs.
	schema func(defs schema) schema
	// fresh makes a value with the defaults of its keys; nil: the zero value.
	fresh func() V
	// keys are its keys, for an object.
	keys []keyInfo
}

// keyInfo is what people are told about a key.
type keyInfo struct {
	name, doc, def string
	keys           []keyInfo
	list           bool // of objects
}

// field is a key of an object T.
type field[T any] struct {
	keyInfo
	read   func(d *decoder, v value, to *T)
	emit   func(t *T, path string, out func(path, text string))
	schema func(defs schema) schema
	preset func(t *T) // sets the default
}

// key makes a field of T. def is the default as one would write it in the file, "" for none; doc is one sentence
// without a full stop.
func key[T, V any](name string, at func(*T) *V, k kind[V], def, doc string) field[T] {
	f := field[T]{keyInfo: keyInfo{name: name, doc: doc, def: def, keys: k.keys}}
	f.read = func(d *decoder, v value, to *T) { k.read(d, v, at(to)) }
	f.emit = func(t *T, path string, out func(path, text string)) { k.emit(at(t), path, out) }
	f.schema = k.schema
	f.preset = func(t *T) {
		if k.fresh != nil {
			*at(t) = k.fresh()
		}
		if def == "" {
			return
		}
		src := &source{name: "default"}
		if node, _, problem := parseYAML(src, []byte(def)); problem == nil {
			k.read(newDecoder(src, nil), value{node: node}, at(t))
		}
	}
	return f
}

// object is a mapping with the given keys, described in the schema under name.
func object[T any](name string, fields []field[T]) kind[T] {
	byName := make(map[string]*field[T], len(fields))
	var keys []keyInfo
	for i := range fields {
		byName[fields[i].name] = &fields[i]
		keys = append(keys, fields[i].keyInfo)
	}
	return kind[T]{
		keys: keys,
		fresh: func() T {
			var t T
			for _, f := range fields {
				f.preset(&t)
			}
			return t
		},
		read: func(d *decoder, v value, to *T) {
			entries, _ := d.entries(v)
			d.record(v)
			for _, e := range entries {
				f := byName[e.key]
				if f == nil {
					d.unknownKey(v, e, keys)
					continue
				}
				if child, ok := d.value(v, e.value, e.at, e.key); ok {
					f.read(d, child, to)
				}
			}
		},
		emit: func(t *T, path string, out func(path, text string)) {
			for _, f := range fields {
				f.emit(t, join(path, f.name), out)
			}
		},
		schema: func(defs schema) schema {
			if _, ok := defs[name]; !ok {
				props := schema{}
				defs[name] = schema{"type": []string{"object", "null"}, "additionalProperties": false, "properties": props}
				for _, f := range fields {
					props[f.name] = describe(f.schema(defs), f.keyInfo)
				}
			}
			return schema{"$ref": "#/$defs/" + name}
		},
	}
}

// require makes keys of an object mandatory.
func (k kind[V]) require(names ...string) kind[V] {
	read, describe := k.read, k.schema
	k.read = func(d *decoder, v value, to *V) {
		read(d, v, to)
		entries, ok := d.quiet().entries(v)
		for _, name := range names {
			if !ok || slices.ContainsFunc(entries, func(e entry) bool { return e.key == name }) {
				continue
			}
			i := slices.IndexFunc(k.keys, func(i keyInfo) bool { return i.name == name })
			d.bad(v, fmt.Sprintf("%q is missing", name), fmt.Sprintf("write %s: %s", name, k.keys[i].doc))
		}
	}
	k.schema = func(defs schema) schema {
		ref := describe(defs)
		def := defs[strings.TrimPrefix(ref["$ref"].(string), "#/$defs/")].(schema)
		def["required"], def["type"] = names, "object"
		return ref
	}
	return k
}

func describe(s schema, k keyInfo) schema {
	s["description"] = k.doc
	if k.def != "" {
		s["description"] = k.doc + ". Default: " + k.def
	}
	return s
}

// unknownKey reports a key that is not among keys, with the nearest or the place where there is one of that name.
func (d *decoder) unknownKey(v value, e entry, keys []keyInfo) {
	var names []string
	instead := ""
	for _, k := range keys {
		names = append(names, k.name)
		if instead == "" && !k.list && slices.ContainsFunc(k.keys, func(s keyInfo) bool { return s.name == e.key }) {
			instead = fmt.Sprintf("write it below %q", k.name)
		}
	}
	if near := nearest(e.key, names); near != "" {
		instead = fmt.Sprintf("write %q", near)
	}
	if instead == "" {
		instead = "write one of: " + strings.Join(names, ", ")
	}
	d.report(e.at, join(v.path, e.key), fmt.Sprintf("unknown key %q", e.key), instead, width(e.node), false, false)
}

// list is a sequence, replacing what a lower layer gave. Items with a name have it in their path, others their index.
func list[V any](item kind[V]) kind[[]V] {
	return kind[[]V]{
		keys: item.keys,
		read: func(d *decoder, v value, to *[]V) {
			nodes, ok := d.items(v)
			if !ok {
				return
			}
			d.record(v)
			out := make([]V, 0, len(nodes))
			first := map[string]place{}
			for i, e := range nodes {
				step, named := d.step(e.value, i)
				child, ok := d.value(v, e.value, e.at, step)
				if !ok {
					continue
				}
				if was, twice := first[step]; twice {
					named.path = join(child.path, "name")
					d.bad(named, fmt.Sprintf("the name %q is given twice, first in line %d", strings.Trim(step, "[]"), was.line), "give each a name of its own")
				} else {
					first[step] = named.at
				}
				var x V
				if item.fresh != nil {
					x = item.fresh()
				}
				item.read(d, child, &x)
				out = append(out, x)
			}
			*to = out
		},
		emit: func(l *[]V, path string, out func(path, text string)) {
			for i := range *l {
				item.emit(&(*l)[i], fmt.Sprintf("%s[%d]", path, i), out)
			}
		},
		schema: func(defs schema) schema { return schema{"type": "array", "items": item.schema(defs)} },
	}
}

// dict is a mapping with keys of the user's own, each replacing the same key of a lower layer.
// check says what is wrong with a key and what to write instead, or "".
func dict[V any](check func(string) (string, string), pattern string, item kind[V]) kind[map[string]V] {
	return kind[map[string]V]{
		read: func(d *decoder, v value, to *map[string]V) {
			entries, ok := d.entries(v)
			if !ok {
				return
			}
			d.record(v)
			out := maps.Clone(*to) // a layer must not change what other nodes share
			if out == nil {
				out = make(map[string]V, len(entries))
			}
			for _, e := range entries {
				if message, instead := check(e.key); message != "" {
					d.report(e.at, join(v.path, e.key), message, instead, width(e.node), false, false)
					continue
				}
				if child, ok := d.value(v, e.value, e.at, e.key); ok {
					x := out[e.key]
					item.read(d, child, &x)
					out[e.key] = x
				}
			}
			*to = out
		},
		emit: func(m *map[string]V, path string, out func(path, text string)) {
			for _, k := range slices.Sorted(maps.Keys(*m)) {
				x := (*m)[k]
				item.emit(&x, join(path, k), out)
			}
		},
		schema: func(defs schema) schema {
			return schema{"type": []string{"object", "null"}, "propertyNames": schema{"pattern": pattern}, "additionalProperties": item.schema(defs)}
		},
	}
}

// distinct is a list in which nothing stands twice.
func distinct[V comparable](item kind[V]) kind[[]V] {
	k := list(item)
	read := k.read
	k.read = func(d *decoder, v value, to *[]V) {
		read(d, v, to)
		for i, x := range *to {
			if slices.Contains((*to)[:i], x) {
				d.bad(v, fmt.Sprintf("%v is listed twice", x), "keep one of them")
			}
		}
	}
	return k
}
