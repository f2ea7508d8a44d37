//! [`Member`]: one member of a JSON object, found while the object passes.

/// The most that is kept of a member; larger ones are passed over.
const LARGEST: usize = 64 * 1024;

/// Finds a member of the outermost object by its name, and keeps nothing else.
#[derive(Debug)]
pub(super) struct Member {
    names: &'static [&'static str],
    depth: usize,
    in_string: bool,
    is_escaped: bool,
    /// Whether a string begins where the outermost object has a name.
    expects_name: bool,
    /// The name that is being read, as far as it can still be one of those wanted.
    name: Option<Vec<u8>>,
    /// Whether the name that was read last is wanted.
    is_wanted: bool,
    /// The value that is being read.
    value: Option<Vec<u8>>,
    found: Option<Vec<u8>>,
}

impl Member {
    pub(super) fn new(names: &'static [&'static str]) -> Self {
        Self {
            names,
            depth: 0,
            in_string: false,
            is_escaped: false,
            expects_name: false,
            name: None,
            is_wanted: false,
            value: None,
            found: None,
        }
    }

    /// The member's value, once it has passed whole: an object, as all that is wanted here are.
    pub(super) fn value(&self) -> Option<&[u8]> {
        self.found.as_deref()
    }

    pub(super) fn read(&mut self, data: &[u8]) {
        for byte in data {
            self.take(*byte);
        }
    }

    fn take(&mut self, byte: u8) {
        if let Some(value) = &mut self.value {
            value.push(byte);
            if value.len() > LARGEST {
                self.value = None;
            }
        }
        if self.in_string {
            self.take_in_string(byte);
            return;
        }
        match byte {
            b'"' => {
                self.in_string = true;
                self.name = (self.depth == 1 && self.expects_name).then(Vec::new);
            }
            b'{' | b'[' => {
                self.depth += 1;
                self.expects_name = self.depth == 1 && byte == b'{';
                if self.depth == 2 && self.is_wanted && byte == b'{' {
                    self.value = Some(vec![byte]);
                }
                self.is_wanted &= self.depth > 1;
            }
            b'}' | b']' => {
                self.depth = self.depth.saturating_sub(1);
                if self.depth == 1
                    && let Some(value) = self.value.take()
                {
                    // The last of one name counts, as with most parsers.
                    self.found = Some(value);
                }
            }
            b':' if self.depth == 1 => self.expects_name = false,
            b',' if self.depth == 1 => (self.expects_name, self.is_wanted) = (true, false),
            _ => {}
        }
    }

    fn take_in_string(&mut self, byte: u8) {
        if self.is_escaped {
            self.is_escaped = false;
            // A name that is wanted has no need of escapes.
            self.name = None;
            return;
        }
        match byte {
            b'\\' => self.is_escaped = true,
            b'"' => {
                self.in_string = false;
                if let Some(name) = self.name.take() {
                    self.is_wanted = self.names.iter().any(|wanted| wanted.as_bytes() == name);
                }
            }
            _ => {
                if let Some(name) = &mut self.name
                    && name.len() < 32
                {
                    name.push(byte);
                }
            }
        }
    }
}
