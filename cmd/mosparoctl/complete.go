package main

import (
	"slices"

	"github.com/spf13/cobra"

	"github.com/mosparoctl/mosparoctl/inventory"
)

// completion gives the words for the next argument of a command.
type completion = func(cmd *cobra.Command, args []string, word string) ([]string, cobra.ShellCompDirective)

// completeNodes completes names of nodes that are not given yet. Without a valid inventory it gives nothing: a shell has no
// place for errors.
func completeNodes(a *app) completion {
	return fromInventory(a, (*inventory.Deployment).NodeNames)
}

// completeGroups completes names of groups.
func completeGroups(a *app) completion {
	return fromInventory(a, (*inventory.Deployment).GroupNames)
}

func fromInventory(a *app, names func(*inventory.Deployment) []string) completion {
	return func(_ *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
		d, err := a.loadInventory()
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		left := slices.DeleteFunc(names(d), func(n string) bool { return slices.Contains(args, n) })
		return left, cobra.ShellCompDirectiveNoFileComp
	}
}

// completeFlags completes the values of the global flags.
func completeFlags(a *app, root *cobra.Command) {
	fixed := func(words ...string) completion {
		return func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return words, cobra.ShellCompDirectiveNoFileComp
		}
	}
	for flag, words := range map[string]completion{
		"nodes":  completeNodes(a),
		"group":  completeGroups(a),
		"role":   fixed("admin", "app", "cron"),
		"output": fixed("text", "json"),
		"inventory": func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return []string{"yaml", "yml"}, cobra.ShellCompDirectiveFilterFileExt
		},
	} {
		if err := root.RegisterFlagCompletionFunc(flag, words); err != nil {
			panic(err) // a flag of that name is not there: a mistake in this program
		}
	}
}
