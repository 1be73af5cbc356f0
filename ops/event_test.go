package ops_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
)

func TestRedactorKnowsASecretInQuotes(t *testing.T) {
	for _, secret := range []string{`pa"ss&wo<rd`, `back\slash`, "tab\tü\x01", "plain-secret"} {
		var r ops.Redactor
		r.Add(secret)
		encoded, err := json.Marshal(map[string]string{"error": "refused: " + secret + "!"})
		if err != nil {
			t.Fatal(err)
		}
		masked := "refused: " + ops.Mask + "!"
		for text, want := range map[string]string{
			"refused: " + secret + "!":                masked,
			fmt.Sprintf("%q", "refused: "+secret+"!"): `"` + masked + `"`,
			string(encoded):                           `{"error":"` + masked + `"}`,
		} {
			if got := r.Text(text); got != want {
				t.Errorf("%q: %s", secret, strings.TrimSpace(got))
			}
		}
	}
}
