//! placeholder
use crate::failure::Failure;
use crate::options::VerifyOptions;
pub(crate) fn run(_options: &VerifyOptions) -> Result<(), Failure> {
    Err(Failure::Usage(String::new()))
}
