package envfile

import (
	"context"
	"slices"

	"github.com/mosparoctl/mosparoctl/inventory"
	"github.com/mosparoctl/mosparoctl/ops"
)

// Desired is what .env.local shall hold on one node.
type Desired struct {
	Values map[string]string // resolved: holds secrets, show it through a Masker only
	Secret map[string]bool   // keys whose values came from a secret reference
}

// Resolve works out the .env.local of n: its env values with secret references resolved, and what follows from its cache
// settings. A reference that can't be resolved, and an env value that contradicts the cache settings, are *ops.Error.
func Resolve(ctx context.Context, n *inventory.Node) (Desired, error) {
	d := Desired{Values: map[string]string{}, Secret: map[string]bool{}}
	for name, ref := range n.Env {
		secret := inventory.NewSecret(ref)
		value, err := secret.Resolve(ctx)
		if err != nil {
			return Desired{}, ops.Errorf(ops.CodeInvalid, "env %s: %w", name, err).On(n.Name)
		}
		d.Values[name] = value
		d.Secret[name] = ref != "" && secret.Reference() == ref
	}
	if err := d.addCache(ctx, n); err != nil {
		return Desired{}, err
	}
	return d, nil
}

// addCache adds the variables that tell mosparo which shared cache to use.
func (d Desired) addCache(ctx context.Context, n *inventory.Node) error {
	urlKey := map[inventory.CacheAdapter]string{inventory.CacheRedis: "REDIS_URL", inventory.CacheMemcached: "MEMCACHED_URL"}[n.Cache.Adapter]
	derived := map[string]string{}
	if urlKey != "" {
		derived["MOSPARO_CACHE_ADAPTER"] = string(n.Cache.Adapter)
		if !n.Cache.URL.IsZero() {
			url, err := n.Cache.URL.Resolve(ctx)
			if err != nil {
				return ops.Errorf(ops.CodeInvalid, "cache url: %w", err).On(n.Name)
			}
			derived[urlKey] = url
			d.Secret[urlKey] = true
		}
	}
	if n.Cache.SharedCSS {
		derived["MOSPARO_PREPARE_CSS_FILES_IN_SHARED_CACHE"] = "1"
	}
	for name, value := range derived {
		if own, ok := d.Values[name]; ok && own != value {
			return ops.Errorf(ops.CodeInvalid, "env %s says something else than the cache settings do", name).On(n.Name).
				WithHint("remove %s from env: it follows from cache", name)
		}
		d.Values[name] = value
	}
	return nil
}

// Lint checks the values and returns an *ops.Error with all errors if there are any, else the warnings.
func (d Desired) Lint(node string) ([]Finding, error) {
	return refuse(node, "env", LintEnv(d.Values))
}

// refuse splits findings into an error and warnings.
func refuse(node, what string, found []Finding) ([]Finding, error) {
	var errs, warnings []Finding
	for _, f := range found {
		if f.Severity == SeverityError {
			errs = append(errs, f)
		} else {
			warnings = append(warnings, f)
		}
	}
	if len(errs) == 0 {
		return warnings, nil
	}
	lines := make([]string, len(errs))
	for i, f := range errs {
		lines[i] = f.String()
	}
	slices.Sort(lines)
	msg := lines[0]
	for _, l := range lines[1:] {
		msg += "\n" + l
	}
	return nil, ops.Errorf(ops.CodeInvalid, "%s: mosparo would misread %d of the values:\n%s", what, len(errs), msg).On(node)
}

// dumpedEnv replaces all .env files where it exists.
const dumpedEnv = ".env.local.php"

// defaultAppEnv is the environment release packages run in.
const defaultAppEnv = "prod"
