package sign

import (
	"strings"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/php"
)

// FieldHoneypot is the type of the field that no human fills in.
const FieldHoneypot = "honeypot"

// IsHoneypot reports whether a field counts as the honeypot where a form is signed: by its type, of which true will do.
func IsHoneypot(field php.Value) bool {
	kind := field.Get("type")
	text, _ := kind.Str()
	yes, _ := kind.Bool()
	return text == FieldHoneypot || kind.Kind() == php.KindBool && yes
}

// ownFields are the form fields that the widget adds; they are never part of form data.
var ownFields = []string{"_mosparo_submitToken", "_mosparo_validationToken"}

// Cleanup brings form data into the form that is hashed: mosparo's own fields are gone, `name[]` is `name`, values are
// strings with LF line ends, and everything is sorted by key. m is not changed.
func Cleanup(m php.Value) php.Value {
	out := members(m)
	for _, name := range ownFields {
		out.Delete(name)
	}
	for key, value := range out.Clone().All() {
		if before, _, list := strings.Cut(key.String(), "[]"); list {
			out.DeleteKey(key)
			key = php.StringKey(before)
		}
		if value.Kind() == php.KindArray {
			out.Set(key, Cleanup(value))
			continue
		}
		text, _ := value.Text()
		out.Set(key, php.String(strings.ReplaceAll(text, "\r\n", "\n")))
	}
	out.SortKeys()
	return php.ArrayOf(out)
}

// Prepare is Cleanup with every value replaced by its hash. That is what clients send instead of the data.
func Prepare(m php.Value) php.Value {
	out := Cleanup(m).Array()
	for key, value := range out.Clone().All() {
		if value.Kind() == php.KindArray {
			out.Set(key, Prepare(value))
			continue
		}
		text, _ := value.Text()
		out.Set(key, php.String(Hash(text)))
	}
	out.SortKeys()
	return php.ArrayOf(out)
}

// members is a copy of v's members; what is no array has none.
func members(v php.Value) *php.Array {
	if v.Kind() != php.KindArray {
		return php.NewArray()
	}
	return v.Array().Clone()
}

func orEmpty(v php.Value) php.Value {
	if v.IsNull() {
		return php.String("")
	}
	return v
}

// Merge puts the fields of one step of a form into those of the steps before: a field of the same name is replaced in
// place, others are appended. Names are the same if their types are, too. Without earlier fields the list is taken as it is.
// Nothing is changed. It is false if a field is a text, which cannot be asked for its name.
func Merge(before, step php.Value) (merged php.Value, ok bool) {
	if before.IsNull() {
		return step, true
	}
	out := members(before)
	for field := range step.Array().Values() {
		name, place := field.Get("name"), php.Key{}
		found := false
		for key, old := range out.All() {
			if field.Kind() == php.KindString || old.Kind() == php.KindString {
				return php.Null, false
			}
			if old.Get("name").Identical(name) {
				place, found = key, true
				break
			}
		}
		if found {
			out.Set(place, field)
		} else {
			out.Append(field)
		}
	}
	return php.ArrayOf(out), true
}

// The outcomes of a field in a verification.
const (
	FieldValid   = "valid"
	FieldInvalid = "invalid"
)

// The messages of a verification's issues.
const (
	IssueEmpty   = "Form data is empty."
	IssueMissing = "Missing in form data, verification not possible."
	IssueInvalid = "Field not valid."
)

// FieldVerification is the comparison of stored fields with received hashes.
type FieldVerification struct {
	Verified *php.Array  // FieldValid or FieldInvalid by name, in stored order
	Issues   []php.Value // complete, with debugInformation
}

// VerifyFields compares what a visitor submitted here with the hashes of what the website received. Fields that only the
// website received are ignored.
func VerifyFields(stored []protection.FormField, received php.Value) *FieldVerification {
	result := &FieldVerification{Verified: php.NewArray()}
	if len(stored) == 0 || received.Array().Len() == 0 {
		result.Issues = append(result.Issues, issue(php.String("formData"), IssueEmpty))
	}
	for _, f := range stored {
		if f.Type == FieldHoneypot {
			continue
		}
		value, name := orEmpty(f.Value), orEmpty(f.Raw.Get("name"))
		hash, _ := received.Array().GetKey(f.Key)
		outcome := FieldInvalid
		switch {
		case hash.IsNull():
			result.Issues = append(result.Issues, issue(name, IssueMissing,
				php.Pair{Key: "reason", Value: php.String("field_not_in_received_data")},
				php.Pair{Key: "expectedValue", Value: describe(value)}))
		case matches(value, hash):
			outcome = FieldValid
		default:
			result.Issues = append(result.Issues, issue(name, IssueInvalid,
				php.Pair{Key: "reason", Value: php.String("field_signature_invalid")},
				php.Pair{Key: "expectedValue", Value: describe(value)},
				php.Pair{Key: "receivedValue", Value: describeHash(hash)}))
		}
		result.Verified.SetString(f.Name, php.String(outcome))
	}
	return result
}

func issue(name php.Value, message string, debug ...php.Pair) php.Value {
	pairs := []php.Pair{{Key: "name", Value: name}, {Key: "message", Value: php.String(message)}}
	if len(debug) > 0 {
		pairs = append(pairs, php.Pair{Key: "debugInformation", Value: php.Map(debug...)})
	}
	return php.Map(pairs...)
}

// matches compares a stored value with a received hash. Of arrays every stored element must be among the received ones,
// in any order; further received ones don't matter.
func matches(value, hash php.Value) bool {
	if value.Kind() != php.KindArray {
		text, ok := value.Text()
		received, isString := hash.Str()
		return ok && isString && Hash(text) == received
	}
	if hash.Kind() != php.KindArray {
		return false
	}
	for key, element := range value.Array().All() {
		if element.Kind() == php.KindArray {
			if inner, ok := hash.Array().GetKey(key); !ok || !matches(element, inner) {
				return false
			}
			continue
		}
		found := false
		for inner := range hash.Array().Values() {
			found = found || matches(element, inner)
		}
		if !found {
			return false
		}
	}
	return true
}

func describe(value php.Value) php.Value {
	if value.Kind() == php.KindArray {
		return php.Map(php.Pair{Key: "type", Value: php.String("array")}, php.Pair{Key: "items", Value: each(value, describe)})
	}
	text, _ := value.Text()
	return php.Map(php.Pair{Key: "type", Value: php.String(value.Kind().String())}, php.Pair{Key: "value", Value: value},
		php.Pair{Key: "hash", Value: php.String(Hash(text))})
}

func describeHash(hash php.Value) php.Value {
	if hash.Kind() == php.KindArray {
		return php.Map(php.Pair{Key: "type", Value: php.String("hash-array")}, php.Pair{Key: "items", Value: each(hash, describeHash)})
	}
	return php.Map(php.Pair{Key: "type", Value: php.String("hash")}, php.Pair{Key: "value", Value: hash})
}

func each(array php.Value, f func(php.Value) php.Value) php.Value {
	out := php.NewArray()
	for key, v := range array.Array().All() {
		out.Set(key, f(v))
	}
	return php.ArrayOf(out)
}
