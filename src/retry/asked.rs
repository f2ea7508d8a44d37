//! [`Asked`]: what was asked for, kept so that it can be asked again.

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version, request::Parts};

/// The head of a request, kept for further attempts.
///
/// It isn't a [`Parts`] because a map of fields takes two allocations to copy, and nearly all requests are sent once.
#[derive(Clone, Debug)]
pub struct Asked {
    method: Method,
    uri: Uri,
    version: Version,
    fields: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
}

impl Asked {
    /// Copies a request's head.
    #[must_use]
    pub fn new(head: &Parts) -> Self {
        Self {
            method: head.method.clone(),
            uri: head.uri.clone(),
            version: head.version,
            fields: head.headers.iter().map(|(name, value)| (name.clone(), value.clone())).collect(),
            extensions: head.extensions.clone(),
        }
    }

    /// The method.
    #[must_use]
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The target.
    #[must_use]
    pub fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The first line of a field.
    #[must_use]
    pub fn field(&self, name: &HeaderName) -> Option<&HeaderValue> {
        self.fields.iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    /// All lines of all fields, those of one name in their order.
    pub fn fields(&self) -> impl Iterator<Item = (&HeaderName, &HeaderValue)> {
        self.fields.iter().map(|(name, value)| (name, value))
    }

    /// The extensions.
    #[must_use]
    pub fn extensions(&self) -> &Extensions {
        &self.extensions
    }

    /// The fields as a map.
    #[must_use]
    pub fn to_headers(&self) -> HeaderMap {
        // That many names are too many for a map, but not that many lines.
        let mut headers = HeaderMap::try_with_capacity(self.fields.len()).unwrap_or_default();
        for (name, value) in &self.fields {
            headers.append(name.clone(), value.clone());
        }
        headers
    }

    /// Sets a field that the request doesn't have.
    pub(super) fn set(&mut self, name: HeaderName, value: HeaderValue) {
        self.fields.push((name, value));
    }

    /// The same head once more.
    #[must_use]
    pub fn to_parts(&self) -> Parts {
        let mut head = empty();
        head.method = self.method.clone();
        head.uri = self.uri.clone();
        head.version = self.version;
        head.headers = self.to_headers();
        head.extensions = self.extensions.clone();
        head
    }
}

fn empty() -> Parts {
    Request::new(()).into_parts().0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_comes_back_as_it_was() {
        let request = Request::post("http://a/b?c")
            .version(Version::HTTP_2)
            .header("a", "1")
            .header("b", "2")
            .header("a", "3")
            .extension(7_u8)
            .body(())
            .expect("a request");
        let (head, ()) = request.into_parts();
        let asked = Asked::new(&head);
        assert_eq!(asked.field(&HeaderName::from_static("a")), Some(&HeaderValue::from_static("1")));
        assert_eq!(asked.field(&HeaderName::from_static("c")), None);
        let again = asked.to_parts();
        assert_eq!((&again.method, &again.uri, again.version), (&head.method, &head.uri, head.version));
        assert_eq!(again.headers, head.headers);
        assert_eq!(again.extensions.get::<u8>(), Some(&7));
    }

    /// A map takes many more lines of one name than names.
    #[test]
    fn any_number_of_lines_comes_back() {
        let mut headers = HeaderMap::new();
        for _ in 0..40_000 {
            headers.append("a", HeaderValue::from_static("1"));
        }
        let mut head = empty();
        head.headers = headers.clone();
        assert_eq!(Asked::new(&head).to_headers(), headers);
    }
}
