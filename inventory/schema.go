package inventory

import "encoding/json"

//go:generate go test -run ^TestGenerated$ -update .

// Schema is the JSON Schema (draft 2020-12) of the file, for editors. It knows keys, types and words; what concerns several
// values at once, only Parse finds.
func Schema() []byte {
	defs := schema{}
	root := documentKind().schema(defs)
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["$id"] = "https://github.com/mosparoctl/mosparoctl/docs/inventory.schema.json"
	root["title"] = "mosparoctl inventory"
	root["description"] = "Describes the machines of a mosparo deployment and how mosparoctl works on them"
	root["$defs"] = defs
	out, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // the schema is made of maps, lists and text
	}
	return append(out, '\n')
}
