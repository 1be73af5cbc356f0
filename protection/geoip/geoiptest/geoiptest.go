// Package geoiptest writes small MaxMind DB files for tests.
package geoiptest

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// WriteASN writes a file like GeoLite2-ASN: the number of each network, with the organisation "AS<number>".
func WriteASN(t testing.TB, path string, networks map[string]uint32) {
	t.Helper()
	records := map[string]any{}
	for network, number := range networks {
		records[network] = map[string]any{"autonomous_system_number": number, "autonomous_system_organization": fmt.Sprintf("AS%d", number)}
	}
	write(t, path, "GeoLite2-ASN", records)
}

// WriteCountry writes a file like GeoLite2-Country: the ISO code of each network.
func WriteCountry(t testing.TB, path string, networks map[string]string) {
	t.Helper()
	records := map[string]any{}
	for network, code := range networks {
		records[network] = map[string]any{"country": map[string]any{"iso_code": code}}
	}
	write(t, path, "GeoLite2-Country", records)
}

// node is one bit of an address: the next node, or a record.
type node struct {
	next   [2]int // index of a node; 0 is none, because nothing leads to the root
	record [2]int // offset in the data section plus one; 0 is none
}

// write replaces the file at path as an updater does: beside it and renamed.
func write(t testing.TB, path, kind string, records map[string]any) {
	t.Helper()
	var data []byte
	nodes := []node{{}}
	for _, network := range slices.Sorted(maps.Keys(records)) {
		prefix, err := netip.ParsePrefix(network)
		if err != nil {
			t.Fatal(err)
		}
		// IPv4 networks lie below ::/96.
		addr, bits := prefix.Addr().As16(), prefix.Bits()
		if prefix.Addr().Is4() {
			addr[10], addr[11] = 0, 0
			bits += 96
		}
		at := 0
		for i := range bits {
			bit := addr[i/8] >> (7 - i%8) & 1
			if i == bits-1 {
				nodes[at].record[bit] = len(data) + 1
				break
			}
			if nodes[at].next[bit] == 0 {
				nodes = append(nodes, node{})
				nodes[at].next[bit] = len(nodes) - 1
			}
			at = nodes[at].next[bit]
		}
		data = encode(t, data, records[network])
	}
	var out bytes.Buffer
	for _, n := range nodes {
		for side := range 2 {
			value := len(nodes) // not found
			switch {
			case n.record[side] > 0:
				value = len(nodes) + 16 + n.record[side] - 1
			case n.next[side] > 0:
				value = n.next[side]
			}
			out.Write([]byte{byte(value >> 16), byte(value >> 8), byte(value)})
		}
	}
	out.Write(make([]byte, 16))
	out.Write(data)
	out.WriteString("\xab\xcd\xefMaxMind.com")
	out.Write(encode(t, nil, map[string]any{
		"binary_format_major_version": uint16(2), "binary_format_minor_version": uint16(0), "build_epoch": uint32(1_700_000_000), "database_type": kind,
		"ip_version": uint16(6), "node_count": uint32(len(nodes)), "record_size": uint16(24), "description": map[string]any{},
	}))
	temp := filepath.Join(filepath.Dir(path), ".new-"+filepath.Base(path))
	if err := os.WriteFile(temp, out.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(temp, path); err != nil {
		t.Fatal(err)
	}
}

// encode appends a value of the data section: a control byte with type and size, then the content.
func encode(t testing.TB, out []byte, v any) []byte {
	t.Helper()
	control := func(kind, size int) {
		switch {
		case size < 29:
			out = append(out, byte(kind<<5|size))
		case size < 29+256: // one more byte holds the rest of the size
			out = append(out, byte(kind<<5|29), byte(size-29))
		default:
			t.Fatalf("%v is too long for a test file", v)
		}
	}
	switch v := v.(type) {
	case string:
		control(2, len(v))
		out = append(out, v...)
	case uint16:
		control(5, 2)
		out = binary.BigEndian.AppendUint16(out, v)
	case uint32:
		control(6, 4)
		out = binary.BigEndian.AppendUint32(out, v)
	case map[string]any:
		control(7, len(v))
		for _, key := range slices.Sorted(maps.Keys(v)) {
			out = encode(t, encode(t, out, key), v[key])
		}
	default:
		t.Fatalf("%T is not supported", v)
	}
	return out
}
