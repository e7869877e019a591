//! The records of a search for duplicates: `group` and `action`.

use std::io::{self, Write};

use super::{BUFFER_BYTES, Jsonl};
use crate::record::{Acted, ActionRecord, Alike, Group, Member};

impl<W: Write> Jsonl<W> {
    pub(super) fn write_group(&mut self, group: &Group<'_>) -> io::Result<()> {
        self.text(br#"{"type":"group","kind":"#);
        self.json(group.alike.name())?;
        self.text(br#","size":"#);
        self.number(group.size);
        if let Some(digest) = &group.digest {
            self.text(br#","blake3":"#);
            self.digest(digest);
        }
        match group.alike {
            Alike::Files => {}
            Alike::Directories { files } => {
                self.text(br#","files_in_each":"#);
                self.number(files);
            }
            Alike::Similar { share } => {
                self.text(br#","share":"#);
                self.json(&share)?;
            }
            Alike::Near { threshold, is_estimated } => {
                self.text(br#","threshold":"#);
                self.json(&threshold)?;
                self.text(br#","estimated":"#);
                self.json(&is_estimated)?;
            }
        }
        self.text(br#","copies":"#);
        self.number(group.copies());
        self.text(br#","reclaimable_bytes":"#);
        self.number(group.reclaimable_bytes);
        self.text(br#","members":"#);
        for (i, member) in group.members.iter().enumerate() {
            self.text(if i == 0 { b"[" } else { b"," });
            self.member(member, group.alike)?;
            // A group may hold every file of the tree: the buffer must not.
            if self.buffer.len() >= BUFFER_BYTES {
                self.flush()?;
            }
        }
        self.text(if group.members.is_empty() { b"[]}" } else { b"]}" });
        self.end_line()
    }

    fn member(&mut self, member: &Member<'_>, alike: Alike) -> io::Result<()> {
        self.text(br#"{"path":"#);
        self.path(|path| member.path_to(path))?;
        self.text(br#","copy":"#);
        self.number(member.copy);
        if matches!(alike, Alike::Similar { .. } | Alike::Near { .. }) {
            self.text(br#","size":"#);
            self.number(member.size);
        }
        if let Some(mtime_ns) = member.mtime_ns {
            self.text(br#","mtime_ns":"#);
            self.number(mtime_ns);
        }
        if let Some(inode) = member.inode {
            self.text(br#","inode":"#);
            self.number(inode);
        }
        if member.is_reference {
            self.text(br#","reference":true"#);
        }
        if let Some(similarity) = member.similarity {
            self.text(br#","similarity":"#);
            self.json(&similarity)?;
        }
        if member.is_identical {
            self.text(br#","identical":true"#);
        }
        if member.is_below(alike) {
            self.text(br#","below":true"#);
        }
        self.text(b"}");
        Ok(())
    }

    pub(super) fn write_action(&mut self, record: &ActionRecord<'_>) -> io::Result<()> {
        self.text(br#"{"type":"action","action":"#);
        self.json(record.action.name())?;
        self.text(br#","keep":"#);
        self.path(|path| path.extend_from_slice(record.keep))?;
        self.text(br#","path":"#);
        self.path(|path| path.extend_from_slice(record.path))?;
        self.text(br#","size":"#);
        self.number(record.size);
        self.text(br#","reclaimable_bytes":"#);
        self.number(record.reclaimable_bytes);
        self.text(br#","outcome":"#);
        self.json(record.acted.name())?;
        if let Acted::Refused(reason) = &record.acted {
            self.text(br#","reason":"#);
            self.json(reason.as_ref())?;
        }
        if record.names_outside > 0 {
            self.text(br#","names_outside":"#);
            self.number(record.names_outside);
        }
        self.text(b"}");
        self.end_line()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::super::JSONL_SCHEMA;
    use super::*;
    use crate::record::{Action, Digest};
    use crate::sink::Sink;

    fn validator() -> (Json, jsonschema::Validator) {
        let schema: Json = serde_json::from_str(JSONL_SCHEMA).expect("the schema is JSON");
        let validator = jsonschema::draft202012::new(&schema).expect("the schema is one");
        (schema, validator)
    }

    /// What is written is what is expected, and follows the schema; without any key that the schema asks for it does not.
    #[track_caller]
    fn check(write: impl FnOnce(&mut dyn Sink) -> io::Result<()>, expected: &str, needed: &[&str]) {
        let mut sink = Jsonl::new(Vec::new());
        write(&mut sink).expect("memory takes all");
        sink.idle().expect("memory takes all");
        let written = String::from_utf8(sink.into_inner()).expect("JSON is UTF-8");
        assert_eq!(written, format!("{expected}\n"));
        let record: Json = serde_json::from_str(&written).expect("it is JSON");
        let (schema, validator) = validator();
        let errors: Vec<_> = validator.iter_errors(&record).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "{errors:?}");
        let known = &schema["$defs"][record["type"].as_str().expect("a type")];
        for key in record.as_object().expect("an object").keys() {
            assert!(known["properties"].get(key).is_some(), "the schema does not know {key}");
        }
        for key in known["required"]
            .as_array()
            .expect("a list")
            .iter()
            .filter_map(Json::as_str)
            .chain(needed.iter().copied())
        {
            let mut broken = record.clone();
            broken.as_object_mut().expect("an object").remove(key).expect("it is there");
            assert!(!validator.is_valid(&broken), "without {key}");
        }
    }

    fn member(directory: &'static [u8], name: &'static [u8], copy: u32) -> Member<'static> {
        Member {
            directory,
            name,
            copy,
            size: 7,
            mtime_ns: None,
            inode: None,
            is_reference: false,
            similarity: None,
            is_identical: false,
        }
    }

    #[test]
    fn files_have_a_digest_and_times() {
        let members = [
            Member { mtime_ns: Some(-1), inode: Some(3), is_reference: true, ..member(b"d", b"f", 0) },
            Member { mtime_ns: Some(2), inode: Some(4), ..member(b"", b"\xff", 1) },
            Member { mtime_ns: Some(2), inode: Some(4), ..member(b"/", b"\n", 1) },
        ];
        let digest = Some(Digest::new(&[0xab; 32]));
        let group = Group { alike: Alike::Files, size: 7, digest, reclaimable_bytes: 7, members: &members };
        let expected = format!(
            concat!(
                r#"{{"type":"group","kind":"files","size":7,"blake3":"{}","copies":2,"reclaimable_bytes":7,"#,
                r#""members":[{{"path":"d/f","copy":0,"mtime_ns":-1,"inode":3,"reference":true}},"#,
                r#"{{"path":{{"bytes":"/w=="}},"copy":1,"mtime_ns":2,"inode":4}},{{"path":"/\n","copy":1,"mtime_ns":2,"inode":4}}]}}"#
            ),
            "ab".repeat(32)
        );
        check(|sink| sink.group(&group), &expected, &["blake3"]);
    }

    #[test]
    fn directories_have_a_count_or_a_share() {
        let members = [member(b"a/b", b"", 0), Member { size: 9, ..member(b"c", b"", 1) }];
        let alike = Alike::Directories { files: 3 };
        let group = Group { alike, size: 7, digest: None, reclaimable_bytes: 7, members: &members };
        let expected = concat!(
            r#"{"type":"group","kind":"directories","size":7,"files_in_each":3,"copies":2,"reclaimable_bytes":7,"#,
            r#""members":[{"path":"a/b","copy":0},{"path":"c","copy":1}]}"#
        );
        check(|sink| sink.group(&group), expected, &["files_in_each"]);
        let group = Group { alike: Alike::Similar { share: 0.75 }, size: 6, ..group };
        let expected = concat!(
            r#"{"type":"group","kind":"similar-directories","size":6,"share":0.75,"copies":2,"#,
            r#""reclaimable_bytes":7,"members":[{"path":"a/b","copy":0,"size":7},{"path":"c","copy":1,"size":9}]}"#
        );
        check(|sink| sink.group(&group), expected, &["share"]);
    }

    #[test]
    fn files_that_are_nearly_the_same_have_a_similarity() {
        let near = |name, copy, similarity| Member {
            mtime_ns: Some(0),
            inode: Some(3),
            similarity: Some(similarity),
            ..member(b"d", name, copy)
        };
        let first = Member { is_identical: true, ..near(b"a", 0, 1.0) };
        let members = [first, near(b"b", 1, 0.875), near(b"c", 2, 0.5)];
        let alike = Alike::Near { threshold: 0.8, is_estimated: true };
        let group = Group { alike, size: 7, digest: None, reclaimable_bytes: 0, members: &members };
        let expected = concat!(
            r#"{"type":"group","kind":"near","size":7,"threshold":0.8,"estimated":true,"copies":3,"reclaimable_bytes":0,"members":["#,
            r#"{"path":"d/a","copy":0,"size":7,"mtime_ns":0,"inode":3,"similarity":1.0,"identical":true},"#,
            r#"{"path":"d/b","copy":1,"size":7,"mtime_ns":0,"inode":3,"similarity":0.875},"#,
            r#"{"path":"d/c","copy":2,"size":7,"mtime_ns":0,"inode":3,"similarity":0.5,"below":true}]}"#
        );
        check(|sink| sink.group(&group), expected, &["threshold", "estimated"]);
    }

    #[test]
    fn an_action_tells_what_became_of_it() {
        let outcomes = [
            (Acted::Planned, r#""planned""#, &[][..]),
            (Acted::Done, r#""done""#, &[]),
            (Acted::Already, r#""already""#, &[]),
            (Acted::Refused("it \"changed\"".into()), r#""refused","reason":"it \"changed\"""#, &["reason"]),
        ];
        for action in [Action::Hardlink, Action::Reflink] {
            for (acted, outcome, needed) in outcomes.clone() {
                for (names_outside, outside) in [(0, ""), (3, r#","names_outside":3"#)] {
                    let acted = acted.clone();
                    let record = ActionRecord {
                        action,
                        keep: b"a",
                        path: b"\xff",
                        size: 7,
                        reclaimable_bytes: 6,
                        acted,
                        names_outside,
                    };
                    let expected = format!(
                        r#"{{"type":"action","action":"{}","keep":"a","path":{{"bytes":"/w=="}},"size":7,"reclaimable_bytes":6,"outcome":{outcome}{outside}}}"#,
                        action.name()
                    );
                    check(|sink| sink.action(&record), &expected, needed);
                }
            }
        }
    }

    /// A sink that counts, and remembers the largest piece.
    struct Largest(usize, usize);

    impl Write for Largest {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            *self = Largest(self.0 + bytes.len(), self.1.max(bytes.len()));
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn a_large_group_is_written_in_pieces() {
        let members = vec![Member { mtime_ns: Some(0), ..member(b"directory", b"name", 0) }; 50_000];
        let group =
            Group { alike: Alike::Files, size: 0, digest: None, reclaimable_bytes: 0, members: &members };
        let mut sink = Jsonl::new(Largest(0, 0));
        sink.group(&group).expect("it takes all");
        sink.idle().expect("it takes all");
        let Largest(sum, largest) = sink.into_inner();
        assert!(sum > 2_000_000 && largest < BUFFER_BYTES + 4096, "{sum} {largest}");
    }

    #[test]
    fn the_schema_refuses_what_does_not_go_together() {
        let (schema, validator) = validator();
        let names = [
            Alike::Files,
            Alike::Directories { files: 0 },
            Alike::Similar { share: 0.0 },
            Alike::Near { threshold: 0.0, is_estimated: true },
        ]
        .map(Alike::name);
        assert_eq!(schema["$defs"]["group"]["properties"]["kind"]["enum"], json!(names));
        let members = json!([{"path": "a", "copy": 0}, {"path": "b", "copy": 1}]);
        let right = json!({
            "type": "group", "kind": "directories", "size": 1, "files_in_each": 1, "copies": 2,
            "reclaimable_bytes": 1, "members": members
        });
        assert!(validator.is_valid(&right));
        for (key, value) in [
            ("kind", json!("whim")),
            ("kind", json!("files")),
            ("size", json!(-1)),
            ("share", json!(0.5)),
            ("blake3", json!("ab")),
            ("members", json!([{"path": "a", "copy": 0}])),
            ("members", json!([{"path": "a", "copy": 0}, {"path": "b", "copy": 1, "mtime_ns": 1}])),
            ("members", json!([{"path": "a", "copy": 0}, {"path": "b", "copy": 1, "reference": false}])),
        ] {
            let mut wrong = right.clone();
            wrong[key] = value;
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
        let right = json!({
            "type": "action", "action": "hardlink", "keep": "a", "path": "b", "size": 1, "reclaimable_bytes": 1, "outcome": "done"
        });
        assert!(validator.is_valid(&right));
        for (key, value) in
            [("action", "delete"), ("outcome", "whim"), ("reason", "none"), ("outcome", "refused")]
        {
            let mut wrong = right.clone();
            wrong[key] = value.into();
            assert!(!validator.is_valid(&wrong), "{wrong}");
        }
    }
}
