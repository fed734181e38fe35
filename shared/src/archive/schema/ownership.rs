//! Owners and privileges, which need roles that the target may not have.

use super::catalog::literal;

/// A block that runs `commands` if every role is there, and says so with a notice if one is not, or if whoever
/// restores may not do it.
pub(super) fn guarded(roles: &[&str], commands: &[String]) -> String {
    let mut body = String::new();
    for role in roles {
        let role = literal(role);
        body.push_str(&format!(
            "    IF NOT EXISTS (SELECT FROM pg_catalog.pg_roles WHERE rolname = {role}) THEN\n        \
                 RAISE NOTICE 'skipped, role % does not exist: %', {role}, {};\n        \
                 RETURN;\n    \
             END IF;\n",
            literal(commands.first().map_or("", String::as_str))
        ));
    }
    for command in commands {
        body.push_str(&format!("    EXECUTE {};\n", literal(command)));
    }
    let block = format!(
        "\nBEGIN\n{body}EXCEPTION WHEN insufficient_privilege OR undefined_object THEN\n    \
         RAISE NOTICE 'skipped: %', SQLERRM;\nEND\n"
    );
    let mut tag = "guard".to_owned();
    while block.contains(&format!("${tag}$")) {
        tag.push('_');
    }
    format!("DO ${tag}${block}${tag}$")
}
