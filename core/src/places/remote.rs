//! What is asked of a provider over the network, and what follows from its reply: each has its own way.

use super::exchange::{Access, Failure, Reply, Request};
use super::provider::Provider;
use super::{Query, Status, google, legacy, overpass};

/// Makes the request for a query, or says why it cannot be made.
pub fn request(provider: Provider, access: &Access, query: &Query) -> Result<Request, Failure> {
    match (provider, &access.key) {
        (Provider::Google, Some(key)) => Ok(google::request(access, key, query)),
        (Provider::GoogleLegacy, Some(key)) => Ok(legacy::request(access, key, query)),
        (Provider::Google | Provider::GoogleLegacy, None) => Err(Failure::unasked(
            Status::RequestDenied,
            "this server has no key: set GOOGLE_PLACES_API_KEY or give --places-key-file",
        )),
        (Provider::Overpass, _) if access.base_url.is_empty() => Err(Failure::unasked(
            Status::RequestDenied,
            "this server does not know where it is: give --places-overpass-url",
        )),
        (Provider::Overpass, _) => Ok(overpass::request(access, query)),
        (Provider::None | Provider::Offline, _) => {
            Err(Failure::unasked(Status::RequestDenied, "places are turned off on this server"))
        }
    }
}

/// Makes the answer out of a provider's reply, or says what is wrong with it; it is no longer than `answer_max` bytes.
pub fn answer(
    provider: Provider,
    query: &Query,
    reply: &Reply<'_>,
    answer_max: usize,
) -> Result<Vec<u8>, Failure> {
    let answer = match provider {
        Provider::Google => google::answer(query, reply),
        Provider::GoogleLegacy => legacy::answer(query, reply),
        Provider::Overpass => overpass::answer(query, reply),
        Provider::None | Provider::Offline => Err(Failure::broken("nobody replies for it")),
    }?;
    if answer.len() > answer_max {
        return Err(Failure::broken(format!("what it lists is over {answer_max} bytes long")));
    }
    Ok(answer)
}

#[cfg(test)]
mod tests {
    use super::super::field_mask::FieldMask;
    use super::*;

    #[test]
    fn google_is_not_asked_without_a_key() {
        let access = Access { base_url: String::new(), key: None, field_mask: FieldMask::default() };
        let query = Query { latitude: 0.0, longitude: 0.0, radius_m: 1.0, bound: 1 };
        for provider in [Provider::Google, Provider::GoogleLegacy] {
            let failure = request(provider, &access, &query).err().unwrap();
            assert_eq!(failure.status, Status::RequestDenied);
        }
    }
}
