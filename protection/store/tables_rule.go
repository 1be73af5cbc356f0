package store

// ruleTables are rules, rule packages, guidelines and texts: what an administrator writes.
func ruleTables() []table {
	return []table{
		{
			name: "rule", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "project_id", kind: kindInt},
				{name: "uuid", kind: kindUUID},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "description", kind: kindText, null: true},
				{name: "type", kind: kindVarchar, size: 30},
				{name: "status", kind: kindInt},
				{name: "spam_rating_factor", kind: kindDouble, null: true},
			},
			indexes: []index{
				{name: "IDX_46D8ACCC166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_46D8ACCC166D1F9C", column: "project_id", table: "project"},
			},
		},
		{
			name: "rule_item", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "rule_id", kind: kindInt},
				{name: "project_id", kind: kindInt},
				{name: "uuid", kind: kindUUID},
				{name: "type", kind: kindVarchar, size: 50},
				{name: "value", kind: kindText},
				{name: "spam_rating_factor", kind: kindDouble, null: true},
				{name: "prepared_value", kind: kindText, null: true},
				{name: "hashed_value", kind: kindVarchar, size: 32, null: true},
			},
			indexes: []index{
				{name: "IDX_4CDF7A69744E0351", columns: []string{"rule_id"}},
				{name: "IDX_4CDF7A69166D1F9C", columns: []string{"project_id"}},
				{name: "ri_uuid_idx", columns: []string{"uuid"}},
				{name: "ri_hashed_idx", columns: []string{"project_id", "type", "hashed_value"}},
			},
			foreign: []foreignKey{
				{name: "FK_4CDF7A69166D1F9C", column: "project_id", table: "project"},
				{name: "FK_4CDF7A69744E0351", column: "rule_id", table: "rule"},
			},
		},
		{
			name: "rule_package", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "project_id", kind: kindInt},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "source", kind: kindText, null: true},
				{name: "spam_rating_factor", kind: kindDouble, null: true},
				{name: "status", kind: kindBool},
				{name: "type", kind: kindInt, def: "1"},
				{name: "uuid", kind: kindUUID},
			},
			indexes: []index{
				{name: "IDX_2EFC5E21166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_F41BE3BD166D1F9C", column: "project_id", table: "project"},
			},
		},
		{
			name: "rule_package_cache", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "rule_package_id", kind: kindInt},
				{name: "project_id", kind: kindInt},
				{name: "refreshed_at", kind: kindDatetime, null: true},
				{name: "updated_at", kind: kindDatetime, null: true},
				{name: "refresh_interval", kind: kindInt},
				{name: "number_of_rules", kind: kindInt, null: true},
			},
			indexes: []index{
				{name: "UNIQ_7ECFE2B7CFFD2724", columns: []string{"rule_package_id"}, unique: true},
				{name: "IDX_7ECFE2B7166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_378A314D166D1F9C", column: "project_id", table: "project"},
				{name: "FK_378A314D54F1C144", column: "rule_package_id", table: "rule_package"},
			},
		},
		{
			name: "rule_package_processing_job", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "created_at", kind: kindDatetime},
				{name: "source_updated_at", kind: kindDatetime, null: true},
				{name: "type", kind: kindInt},
				{name: "mimetype", kind: kindVarchar, size: 255, null: true},
				{name: "processed_import_data", kind: kindText},
				{name: "import_tasks", kind: kindInt},
				{name: "processed_import_tasks", kind: kindInt},
				{name: "processed_cleanup_data", kind: kindText},
				{name: "cleanup_tasks", kind: kindInt},
				{name: "processed_cleanup_tasks", kind: kindInt},
				{name: "rule_package_id", kind: kindInt, null: true},
				{name: "project_id", kind: kindInt},
			},
			indexes: []index{
				{name: "IDX_4E75826FCFFD2724", columns: []string{"rule_package_id"}},
				{name: "IDX_4E75826F166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_4E75826F166D1F9C", column: "project_id", table: "project"},
				{name: "FK_4E75826FCFFD2724", column: "rule_package_id", table: "rule_package"},
			},
		},
		{
			name: "rule_package_rule_cache", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "rule_package_cache_id", kind: kindInt},
				{name: "project_id", kind: kindInt},
				{name: "uuid", kind: kindUUID},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "description", kind: kindText, null: true},
				{name: "type", kind: kindVarchar, size: 30},
				{name: "spam_rating_factor", kind: kindDouble, null: true},
				{name: "number_of_items", kind: kindInt, null: true},
				{name: "updated_at", kind: kindDatetime, null: true},
			},
			indexes: []index{
				{name: "IDX_90CF1D59C1C36394", columns: []string{"rule_package_cache_id"}},
				{name: "IDX_90CF1D59166D1F9C", columns: []string{"project_id"}},
				{name: "rprc_uuid_idx", columns: []string{"uuid"}},
			},
			foreign: []foreignKey{
				{name: "FK_F140F8B5166D1F9C", column: "project_id", table: "project"},
				{name: "FK_F140F8B5D533B618", column: "rule_package_cache_id", table: "rule_package_cache"},
			},
		},
		{
			name: "rule_package_rule_item_cache", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "rule_package_rule_cache_id", kind: kindInt},
				{name: "project_id", kind: kindInt},
				{name: "uuid", kind: kindUUID},
				{name: "type", kind: kindVarchar, size: 50},
				{name: "value", kind: kindText},
				{name: "spam_rating_factor", kind: kindDouble, null: true},
				{name: "prepared_value", kind: kindText, null: true},
				{name: "hashed_value", kind: kindVarchar, size: 32, null: true},
				{name: "updated_at", kind: kindDatetime, null: true},
			},
			indexes: []index{
				{name: "IDX_FD468764F19B63A2", columns: []string{"rule_package_rule_cache_id"}},
				{name: "IDX_FD468764166D1F9C", columns: []string{"project_id"}},
				{name: "rpric_uuid_idx", columns: []string{"uuid"}},
				{name: "rpric_hashed_idx", columns: []string{"project_id", "type", "hashed_value"}},
				{name: "rpric_rprc_project_idx", columns: []string{"project_id", "rule_package_rule_cache_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_674C1AEB166D1F9C", column: "project_id", table: "project"},
				{name: "FK_674C1AEBF6DD31F", column: "rule_package_rule_cache_id", table: "rule_package_rule_cache"},
			},
		},
		{
			name: "security_guideline", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "project_id", kind: kindInt},
				{name: "uuid", kind: kindUUID},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "description", kind: kindText, null: true},
				{name: "priority", kind: kindInt},
				{name: "subnets", kind: kindJSON},
				{name: "country_codes", kind: kindJSON},
				{name: "as_numbers", kind: kindJSON},
				{name: "form_page_urls", kind: kindJSON},
				{name: "form_action_urls", kind: kindJSON},
				{name: "form_ids", kind: kindJSON},
			},
			indexes: []index{
				{name: "IDX_7ECC68E5166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_7ECC68E5166D1F9C", column: "project_id", table: "project"},
			},
		},
		{
			name: "security_guideline_config_value", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "security_guideline_id", kind: kindInt},
				{name: "project_id", kind: kindInt},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "value", kind: kindJSON, null: true},
			},
			indexes: []index{
				{name: "IDX_24DA35EDF69EB831", columns: []string{"security_guideline_id"}},
				{name: "IDX_24DA35ED166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_24DA35ED166D1F9C", column: "project_id", table: "project", cascade: true},
				{name: "FK_24DA35EDF69EB831", column: "security_guideline_id", table: "security_guideline", cascade: true},
			},
		},
		{
			name: "submission_rule", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "rule_key", kind: kindVarchar, size: 50},
				{name: "enabled", kind: kindBool},
				{name: "rating", kind: kindDouble, null: true},
				{name: "project_id", kind: kindInt},
			},
			indexes: []index{
				{name: "IDX_D4DEC7A3166D1F9C", columns: []string{"project_id"}},
				{name: "sr_key_idx", columns: []string{"project_id", "rule_key"}},
			},
			foreign: []foreignKey{
				{name: "FK_D4DEC7A3166D1F9C", column: "project_id", table: "project"},
			},
		},
		{
			name: "submission_rule_config_value", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "name", kind: kindVarchar, size: 255},
				{name: "value", kind: kindJSON, null: true},
				{name: "submission_rule_id", kind: kindInt},
				{name: "project_id", kind: kindInt},
			},
			indexes: []index{
				{name: "IDX_7B30B7E058AF9887", columns: []string{"submission_rule_id"}},
				{name: "IDX_7B30B7E0166D1F9C", columns: []string{"project_id"}},
			},
			foreign: []foreignKey{
				{name: "FK_7B30B7E0166D1F9C", column: "project_id", table: "project", cascade: true},
				{name: "FK_7B30B7E058AF9887", column: "submission_rule_id", table: "submission_rule", cascade: true},
			},
		},
		{
			name: "translation", key: "id",
			columns: []column{
				{name: "id", kind: kindID},
				{name: "translation_key", kind: kindInt},
				{name: "locale", kind: kindVarchar, size: 8},
				{name: "text", kind: kindText},
				{name: "project_id", kind: kindInt},
			},
			indexes: []index{
				{name: "IDX_B469456F166D1F9C", columns: []string{"project_id"}},
				{name: "t_ltk_idx", columns: []string{"project_id", "translation_key", "locale"}},
			},
			foreign: []foreignKey{
				{name: "FK_B469456F166D1F9C", column: "project_id", table: "project"},
			},
		},
	}
}
