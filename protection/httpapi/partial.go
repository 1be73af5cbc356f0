package httpapi

import (
	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
	"github.com/mosparoctl/mosparoctl/protection/sign"
)

// joined is PHP's array_merge of two lists of names.
func joined(a, b *php.Array) *php.Array {
	out := php.NewArray()
	for _, list := range []*php.Array{a, b} {
		if list == nil {
			continue
		}
		for k, v := range list.All() {
			mergeInto(out, k, v)
		}
	}
	return out
}

// storeFormData keeps one step of a form until the last one is checked.
func (c *call) storeFormData() (php.Value, error) {
	now := c.h.o.Store.Now()
	token, partial, err := c.openToken(now, false)
	if err != nil {
		return php.Null, err
	}
	if !c.has("formData") && !c.has("metadata") {
		return php.Null, c.refuse("Form data and metadata not set.")
	}
	if partial == nil {
		partial = &protection.PartialSubmission{ProjectID: c.project.ID, TokenID: token.ID}
	}
	data := cloned(partial.Data)
	ignored := joined(partial.IgnoredFields.Array(), nil)
	if c.has("formData") {
		form, err := c.formData()
		if err != nil {
			return php.Null, err
		}
		before, _ := data.Get(protection.GroupForm)
		merged, ok := sign.Merge(before, form.fields)
		if !ok {
			return php.Null, c.refuse(formDataInvalid)
		}
		data.SetString(protection.GroupForm, merged)
		ignored = joined(ignored, form.ignored)
	}
	metadata, given, err := c.metadata()
	if err != nil {
		return php.Null, err
	}
	if given {
		mergeMetadata(data, metadata)
	}
	if data.Len() == 0 { // only metadata, which are not allowed; mosparo cannot load a row without data
		return php.Map(boolPair("result", true)), nil
	}
	partial.Data, partial.IgnoredFields, partial.UpdatedAt = php.ArrayOf(data), php.ArrayOf(ignored), now
	c.h.o.Store.Forget(c.project.ID, token.Token)
	if err := c.h.o.Store.SavePartial(c.r.Context(), partial); err != nil {
		return php.Null, err
	}
	return php.Map(boolPair("result", true)), nil
}

// cloned is a copy of an array value, empty for anything else.
func cloned(v php.Value) *php.Array {
	if v.Kind() != php.KindArray {
		return php.NewArray()
	}
	return v.Array().Clone()
}
