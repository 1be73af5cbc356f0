package store

import (
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
)

// TestFactor has what the drivers hand over and what somebody may have written into an SQLite file.
func TestFactor(t *testing.T) {
	for _, c := range []struct {
		src  any
		want protection.Factor
	}{
		{nil, protection.Factor{}}, {2.5, protection.NewFactor(2.5)}, {int64(3), protection.NewFactor(3)}, {"1.5", protection.NewFactor(1.5)}, {[]byte("-2e1"), protection.NewFactor(-20)},
		{"5 points", protection.NewFactor(5)}, {"many", protection.NewFactor(0)}, {"", protection.NewFactor(0)},
	} {
		var got protection.Factor
		if err := (factor{&got}).Scan(c.src); err != nil || got != c.want {
			t.Errorf("%v: %+v %v", c.src, got, err)
		}
	}
}
