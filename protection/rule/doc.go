// Package rule rates submissions by a project's rules and rule packages, with mosparo 1.5's results.
//
// mosparo matches in two stages: the database preselects items by prepared or hashed values, then a tester decides. Both
// must agree, and several items never match because the preselection is narrower than the tester. [Compile] turns a
// project's rules once into a [Matcher] that keeps this outcome without the database: exact values are looked up in sorted
// tables, texts in an [index] that finds all literals of a text in one pass whose cost hardly depends on their number,
// patterns with wildcards are tried where their longest literal piece occurs, regular expressions one by one.
//
// A Matcher is immutable; whoever serves a project swaps the pointer when the rules change.
package rule
