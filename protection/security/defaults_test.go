package security

import (
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
)

// Storing every default changes nothing, so the list agrees with what Resolve takes for granted.
func TestDefaultsAreInForce(t *testing.T) {
	stored := protection.Settings{}
	for k, v := range Defaults().All() {
		stored[k.String()] = v
	}
	p := &protection.Project{Active: true, SpamScore: 5}
	q := &protection.Project{Active: true, SpamScore: 5, Settings: stored}
	if a, b := Resolve(p, nil, Visit{}), Resolve(q, nil, Visit{}); a != b {
		t.Errorf("without settings %+v, with all defaults stored %+v", a, b)
	}
}
