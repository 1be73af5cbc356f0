package ops_test

import (
	"os"
	"strconv"
	"strings"
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

func TestLoginAs(t *testing.T) {
	l, err := ops.LookupLogin(t.Context(), local.New("here"))
	if err != nil || l.Root != (os.Getuid() == 0) || l.User == "" {
		t.Errorf("we are %+v, %v", l, err)
	}
	for _, tt := range []struct {
		login ops.Login
		user  string
		want  string
	}{
		{ops.Login{User: "root", Root: true}, "www-data", "runuser -u www-data -- php x"},
		{ops.Login{User: "deploy"}, "www-data", "sudo -n -u www-data -- php x"},
		{ops.Login{User: "www-data"}, "www-data", "php x"},
		{ops.Login{User: "root", Root: true}, "", "php x"},
	} {
		if got := strings.Join(tt.login.As(tt.user, []string{"php", "x"}), " "); got != tt.want {
			t.Errorf("%+v as %q: %s, want %s", tt.login, tt.user, got, tt.want)
		}
	}
}
