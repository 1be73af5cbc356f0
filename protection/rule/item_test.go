package rule

import (
	"regexp"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
)

func TestNewItem(t *testing.T) {
	uuid := regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$`)
	i, err := NewItem(protection.ItemText, "Viagra", 1)
	if err != nil || i.Prepared != "%viagra%" || i.Hashed != "82441393434ad33066c32a9398e8e038" || i.Rating.Set || !uuid.MatchString(i.UUID) {
		t.Errorf("%+v %v", i, err)
	}
	if j, _ := NewItem(protection.ItemText, "Viagra", 2.5); j.Rating.Value != 2.5 || j.UUID == i.UUID {
		t.Errorf("%+v", j)
	}
	if _, err := NewItem(protection.ItemSubnet, "2001:db8::/45", 1); !protection.Is(err, protection.CodeInvalid) {
		t.Errorf("a range that mosparo cannot save: %v", err)
	}
	for _, kind := range Types() {
		if len(ItemTypes(kind)) == 0 {
			t.Errorf("%s has no item types", kind)
		}
	}
}
