package httpapi_test

import (
	"net/url"
	"testing"

	"github.com/mosparoctl/mosparoctl/protection"
	"github.com/mosparoctl/mosparoctl/protection/server"
)

// Where there is nothing to store, no row is made: mosparo cannot load one without data.
func TestNothingToStore(t *testing.T) {
	a := start(t, func(_ *server.Options, p *protection.Project) { p.MetadataAllowed = false })
	token, _ := a.submit(oneField)
	for i, values := range []url.Values{{"metadata": {`{"a":1}`}}, {"metadata": {`{"a":1}`}, "formData": {oneField}}} {
		values.Set("submitToken", token)
		if reply := a.form("/api/v1/frontend/store-form-data", values); reply["result"] != true {
			t.Errorf("%v: %v", values, reply)
		}
		_, partial, err := a.server.Store().TokenAndPartial(t.Context(), a.project.ID, token)
		if err != nil || (partial != nil) != (i == 1) {
			t.Errorf("%v: stored %+v, %v", values, partial, err)
		}
	}
}
