package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/mosparoctl/mosparoctl/ops/remote/remotetest"
)

// cmdNodes is "nodes NAME...": it starts a node for each name, in this process, with the folder nodes/NAME, and writes
// mosparo.yaml for them. The first is the admin node. A name with a "?" at its end is not in known_hosts yet; one with a "!" is
// stopped at once. FINGERPRINT_NAME is each one's host key.
func cmdNodes(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 {
		ts.Fatalf("usage: nodes NAME...")
	}
	var yaml, known strings.Builder
	yaml.WriteString("version: 1\nname: shop\ndatabase: {system: mysql, servers: [{host: db}], name: m, user: m}\n" +
		"cache: {adapter: redis, url: \"redis://cache:6379?lazy=1\"}\nnodes:\n")
	user := remotetest.NewKey()
	ts.Check(user.WriteFile(ts.MkAbs("id")))
	for i, arg := range args {
		name := strings.TrimRight(arg, "?!")
		dir := ts.MkAbs("nodes/" + name)
		ts.Check(os.MkdirAll(dir, 0o755))
		host := remotetest.NewKey()
		s, err := remotetest.Start(remotetest.Config{Dir: dir, UserKeys: []*remotetest.Key{user}, HostKeys: []*remotetest.Key{host}})
		ts.Check(err)
		ts.Defer(func() { s.Close() })
		if !strings.HasSuffix(arg, "?") {
			known.WriteString(s.KnownHosts())
		}
		if strings.HasSuffix(arg, "!") {
			ts.Check(s.Close())
		}
		ts.Setenv("FINGERPRINT_"+name, host.Fingerprint())
		role := "app"
		if i == 0 {
			role = "admin"
		}
		fmt.Fprintf(&yaml, "  - {name: %s, address: 127.0.0.1, roles: [%s], paths: {root: %s}, php: {fpm_log: [%s/fpm*.log]}, "+
			"ssh: {user: deploy, port: %d, identity: %s, known_hosts: %s, config: none}}\n",
			name, role, dir, dir, s.Addr().Port, ts.MkAbs("id"), ts.MkAbs("known_hosts"))
	}
	ts.Check(os.WriteFile(ts.MkAbs("mosparo.yaml"), []byte(yaml.String()), 0o600))
	ts.Check(os.WriteFile(ts.MkAbs("known_hosts"), []byte(known.String()), 0o600))
}
