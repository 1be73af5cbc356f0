package ops_test

import (
	"os"
	"strconv"
	"testing"

	"github.com/mosparoctl/mosparoctl/ops"
	"github.com/mosparoctl/mosparoctl/ops/local"
)

func TestLookupOwner(t *testing.T) {
	h := local.New("here")
	for _, group := range []string{"", "0", "root"} {
		if o, err := ops.LookupOwner(t.Context(), h, "root", group); err != nil || o != (ops.Owner{}) {
			t.Errorf("root:%s is %v, %v", group, o, err)
		}
	}
	own := strconv.Itoa(os.Getuid())
	if _, err := ops.LookupOwner(t.Context(), h, "no-such-user-"+own, ""); err == nil {
		t.Error("a user that is not there was found")
	}
	if _, err := ops.LookupOwner(t.Context(), h, "root", "no-such-group"); err == nil {
		t.Error("a group that is not there was found")
	}
}
