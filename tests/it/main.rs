//! larder from outside: one binary, a folder a subject.

mod cache;
mod proxy;
mod reqwest;
mod support;
