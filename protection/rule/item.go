package rule

import (
	"slices"

	"github.com/mosparoctl/mosparoctl/protection"
)

// NewItem makes a rule item as mosparo saves one, with a new UUID and the values of PHP's preselection. A rating of 1 is
// left out. The error is for a value that mosparo cannot save.
func NewItem(kind protection.ItemType, value string, rating float64) (protection.RuleItem, error) {
	prepared, err := Prepared(kind, value)
	if err != nil {
		return protection.RuleItem{}, err
	}
	i := protection.RuleItem{UUID: protection.NewUUID(), Type: kind, Value: value, Prepared: prepared, Hashed: Hashed(value)}
	if rating != 1 {
		i.Rating = protection.NewFactor(rating)
	}
	return i, nil
}

// ItemTypes lists the item types of a rule type, nil for a type that does not exist.
func ItemTypes(t protection.RuleType) []protection.ItemType {
	if t == protection.RuleUnicodeBlock {
		return []protection.ItemType{protection.ItemBlock}
	}
	return slices.Clone(itemTypes[t])
}

// Types lists the rule types.
func Types() []protection.RuleType {
	return []protection.RuleType{protection.RuleWord, protection.RuleWebsite, protection.RuleDomain, protection.RuleEmail,
		protection.RuleIPAddress, protection.RuleProvider, protection.RuleUnicodeBlock, protection.RuleUserAgent}
}
