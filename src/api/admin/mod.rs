//! placeholder until merged
use super::*;
#[derive(Debug)]
pub struct Admin;
pub(super) fn begin(_: Asked, _: &[u8], _: &Context<'_>) -> Result<Next, DecodeError> {
    Ok(Next::Nothing)
}
impl Admin {
    pub fn on_answers(&mut self, _: Vec<(u32, Answer)>, _: &Context<'_>) -> Option<Next> {
        None
    }
    pub fn on_outcome(&mut self, _: CommandOutcome, _: &Context<'_>) -> Next {
        Next::Nothing
    }
}
