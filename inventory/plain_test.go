package inventory

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestPlainSecrets(t *testing.T) {
	d, err := Parse("x.yaml", []byte(`version: 1
name: x
defaults: {paths: {root: /srv/mosparo}}
nodes:
  - {name: a, roles: [admin, app], env: {API_TOKEN: tok-en1, APP_SECRET: env:S, MOSPARO_HEALTH_ALLOW_LIST: 127.0.0.1, LANG: en_GB}}
  - {name: b, cache: {url: "redis:?host[s1:1]&redis_sentinel=m&auth=sentinel-pw&lazy=1"}}
cache: {adapter: redis, url: "redis://user:p%40ss-word@10.0.0.1:6379/0?lazy=1"}
database: {servers: [{host: db}], password: "db:pass@word"}
env: {MAILER_DSN: "smtp://u:mail-pw@mail:25", DATABASE_URL: env:D}
`))
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"redis:?host[s1:1]&redis_sentinel=m&auth=sentinel-pw&lazy=1", "redis://user:p%40ss-word@10.0.0.1:6379/0?lazy=1",
		"smtp://u:mail-pw@mail:25", "db:pass@word", "p%40ss-word", "sentinel-pw", "p@ss-word", "mail-pw", "tok-en1"}
	if diff := cmp.Diff(want, d.PlainSecrets()); diff != "" {
		t.Errorf("PlainSecrets (-want +got):\n%s", diff)
	}
}
