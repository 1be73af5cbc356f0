package health

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops/envfile"
)

const syncHint = "mosparoctl sync"

// configEqual compares config/env.mosparo.php as a whole.
func configEqual() Check {
	return question[configFile]{
		Info: Info{
			Name: "files-config", Family: FamilyFiles,
			Title: "Is config/env.mosparo.php the same on every node?",
			Why:   "It holds all settings that the administrators make: a node with an old copy has old proxies, allow lists and keys.",
			Mend:  syncHint,
		},
		ask: func(ctx context.Context, n *node) (configFile, error) { return n.configuration(ctx) },
		judge: func(_ context.Context, v *verdicts, answers []answer[configFile]) {
			hash := func(c configFile) string {
				sum := sha256.Sum256(c.raw)
				return hex.EncodeToString(sum[:])
			}
			ref := reference(answers, hash)
			for _, a := range answers {
				if hash(a.value) == hash(ref.value) {
					v.ok(a.node, "%s, %d keys", short(hash(a.value)), a.value.Len())
					continue
				}
				keys := differingKeys(values(a.value.Config), values(ref.value.Config))
				what := "differs in form only"
				if len(keys) > 0 {
					what = "differs in " + list(keys, 6)
				}
				v.fail(a.node, syncHint+" --nodes "+a.node.Name, "%s from %s", what, ref.node.Name)
			}
			v.allOK("the same on all %d nodes", len(answers))
		},
	}
}

// short is enough of a hash for people to compare. Of the config file it tells nothing: the file holds 256-bit keys.
func short(hash string) string { return hash[:12] }

func values(c *envfile.Config) map[string]string {
	m := map[string]string{}
	for _, e := range c.Entries() {
		m[e.Key] = e.Value.PHP()
	}
	return m
}

// differingKeys lists the keys whose values are not equal, sorted.
func differingKeys(a, b map[string]string) []string {
	keys := map[string]bool{}
	for k, v := range a {
		if w, ok := b[k]; !ok || w != v {
			keys[k] = true
		}
	}
	for k := range b {
		if _, ok := a[k]; !ok {
			keys[k] = true
		}
	}
	return slices.Sorted(maps.Keys(keys))
}

// list joins at most limit words.
func list(words []string, limit int) string {
	if len(words) <= limit {
		return strings.Join(words, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(words[:limit], ", "), len(words)-limit)
}

// keys are the fingerprints of a node's two keys.
type keys struct{ encryption, secret string }

// configKeys compares the keys by themselves, since a difference there is of another weight than in any setting.
func configKeys() Check {
	return question[keys]{
		Info: Info{
			Name: "files-keys", Family: FamilyFiles,
			Title: "Do all nodes have the same encryption key and secret?",
			Why: "A node with another encryption_key answers \"Request invalid.\" to every signed call and 500 in the administration, " +
				"while its health check stays fine; with another secret, password reset links work on one node only.",
			Mend: syncHint,
		},
		ask: func(ctx context.Context, n *node) (keys, error) {
			c, err := n.configuration(ctx)
			if err != nil {
				return keys{}, err
			}
			key := c.Text("encryption_key")
			if key == "" {
				return keys{}, failf(syncHint, "there is no encryption_key: columns would be read and written as plain text")
			}
			if raw, err := hex.DecodeString(key); err != nil || len(raw) != 32 {
				return keys{}, failf(syncHint, "the encryption_key is not 64 hexadecimal digits: every encrypted column fails")
			}
			return keys{n.session.fingerprint(strings.ToLower(key)), n.session.fingerprint(c.Text("secret"))}, nil
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[keys]) {
			ref := reference(answers, func(k keys) string { return k.encryption + k.secret })
			for _, a := range answers {
				var other []string
				if a.value.encryption != ref.value.encryption {
					other = append(other, "encryption_key")
				}
				if a.value.secret != ref.value.secret {
					other = append(other, "secret")
				}
				if len(other) > 0 {
					v.fail(a.node, syncHint+" --nodes "+a.node.Name, "has another %s than %s", strings.Join(other, " and "), ref.node.Name)
					continue
				}
				v.ok(a.node, "the same keys")
			}
			v.allOK("the same keys on all %d nodes", len(answers))
		},
	}
}

// envEqual compares .env.local, but for what the inventory sets for single nodes.
func envEqual() Check {
	return question[envFiles]{
		Info: Info{
			Name: "files-env", Family: FamilyFiles,
			Title: "Does .env.local say the same on every node?",
			Why:   "Without it, or with an old one, a node uses its own cache and other retention periods, without a word.",
			Mend:  "mosparoctl env push",
		},
		ask: func(ctx context.Context, n *node) (envFiles, error) {
			if err := n.mosparo(ctx); err != nil {
				return envFiles{}, err
			}
			return n.environment(ctx)
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[envFiles]) {
			own := perNode(v.session.env.Deployment)
			shared := func(e envFiles) map[string]string {
				m := maps.Clone(e.local)
				if e.dumped {
					m = maps.Clone(e.values)
				}
				maps.DeleteFunc(m, func(k, _ string) bool { return own[k] })
				return m
			}
			text := func(e envFiles) string { return fmt.Sprint(e.local != nil, e.dumped, shared(e)) }
			plain := slices.DeleteFunc(slices.Clone(answers), func(a answer[envFiles]) bool { return a.value.dumped })
			if len(plain) == 0 {
				plain = answers
			}
			ref := reference(plain, text)
			for _, a := range answers {
				keys := differingKeys(shared(a.value), shared(ref.value))
				switch {
				case a.value.dumped:
					v.warn(a.node, a.node.exec("rm", a.node.file(".env.local.php")), ".env.local.php replaces all .env files here: changes to .env.local have no effect")
				case a.value.local == nil && ref.value.local != nil:
					v.fail(a.node, "", "there is no .env.local, but %s has one", ref.node.Name)
				case len(keys) > 0:
					v.fail(a.node, "", "%s differs from %s", list(keys, 6), ref.node.Name)
				case a.value.local == nil:
					v.ok(a.node, "there is none")
				default:
					v.ok(a.node, "%d values", len(a.value.local))
				}
			}
			v.allOK("the same on all %d nodes", len(answers))
		},
	}
}

// perNode are the variables that the inventory sets differently on different nodes, on purpose.
func perNode(d *inventory.Deployment) map[string]bool {
	own := map[string]bool{}
	for _, n := range d.Nodes {
		for k, value := range n.Env {
			for _, m := range d.Nodes {
				if other, ok := m.Env[k]; !ok || other != value {
					own[k] = true
				}
			}
		}
		if n.Cache.URL != d.Nodes[0].Cache.URL {
			own["REDIS_URL"], own["MEMCACHED_URL"] = true, true
		}
		if n.Cache.Adapter != d.Nodes[0].Cache.Adapter {
			own["MOSPARO_CACHE_ADAPTER"] = true
		}
	}
	return own
}

// envValues looks for values that mosparo reads otherwise than they look.
func envValues() Check {
	return question[[]envfile.Finding]{
		Info: Info{
			Name: "files-values", Family: FamilyFiles,
			Title: "Does mosparo read every value as it was meant?",
			Why:   "A flag set to false counts as true for some variables, and a number out of range becomes the default without a word.",
			Mend:  "mosparoctl env diff",
		},
		ask: func(ctx context.Context, n *node) ([]envfile.Finding, error) {
			if err := n.mosparo(ctx); err != nil {
				return nil, err
			}
			env, err := n.environment(ctx)
			if err != nil {
				return nil, err
			}
			findings := envfile.LintEnv(env.local)
			c, err := n.configuration(ctx)
			if err != nil {
				return findings, err
			}
			return append(findings, envfile.LintConfig(c.Config)...), nil
		},
		judge: func(_ context.Context, v *verdicts, answers []answer[[]envfile.Finding]) {
			for _, a := range answers {
				verdict, text, mend := OK, "all values are read as they look", ""
				for _, f := range a.value {
					this := Warn
					if f.Severity == envfile.SeverityError {
						this = Fail
					}
					if Worse(verdict, this) != verdict || verdict == OK {
						verdict, text, mend = this, f.Key+": "+f.Reason, f.Key+": "+f.Mend
					}
				}
				if len(a.value) > 1 {
					text += fmt.Sprintf(" (and %d more)", len(a.value)-1)
				}
				v.add(a.node, verdict, mend, text)
			}
		},
	}
}
