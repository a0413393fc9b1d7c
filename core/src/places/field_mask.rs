//! Which fields of a place the Places API (New) is asked for.

use std::fmt;
use std::str::FromStr;

/// The fields asked for. What is asked for decides what a request costs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FieldMask(String);

impl Default for FieldMask {
    fn default() -> FieldMask {
        let fields = ["id", "displayName", "location", "primaryType", "types", "formattedAddress"];
        FieldMask(fields.map(|field| format!("places.{field}")).join(","))
    }
}

impl fmt::Display for FieldMask {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Why a field mask is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FieldMaskError {
    /// `*` asks for everything, which is billed at the highest rate.
    Everything,
    /// A part of it is not the name of a field of a place.
    NoField(String),
    /// It does not ask where places are, and of a place that is nowhere nothing can be told.
    NoLocation,
}

impl fmt::Display for FieldMaskError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            FieldMaskError::Everything => {
                write!(f, "the field mask asks for everything, billed at the highest rate: name the fields")
            }
            FieldMaskError::NoField(field) => {
                write!(f, "{field:?} is no field of a place: write places.id,places.displayName and so on")
            }
            FieldMaskError::NoLocation => {
                write!(f, "the field mask does not ask where places are: add places.location")
            }
        }
    }
}

impl std::error::Error for FieldMaskError {}

impl FromStr for FieldMask {
    type Err = FieldMaskError;

    fn from_str(mask: &str) -> Result<FieldMask, FieldMaskError> {
        let fields: Vec<&str> = mask.split(',').map(str::trim).collect();
        for field in &fields {
            if field.contains('*') {
                return Err(FieldMaskError::Everything);
            }
            let name = field.strip_prefix("places.").unwrap_or_default();
            if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'.') {
                return Err(FieldMaskError::NoField((*field).to_owned()));
            }
        }
        if !fields.contains(&"places.location") {
            return Err(FieldMaskError::NoLocation);
        }
        Ok(FieldMask(fields.join(",")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mask_that_asks_for_everything_or_for_no_field_is_refused() {
        assert_eq!("*".parse::<FieldMask>(), Err(FieldMaskError::Everything));
        assert_eq!("places.*".parse::<FieldMask>(), Err(FieldMaskError::Everything));
        assert_eq!("places.id,places.rating".parse::<FieldMask>(), Err(FieldMaskError::NoLocation));
        for mask in ["", "id", "places.", "places.id\r\nX: y", "places.id,,places.types"] {
            assert!(matches!(mask.parse::<FieldMask>(), Err(FieldMaskError::NoField(_))), "{mask:?}");
        }
        assert_eq!(
            "places.location, places.rating".parse::<FieldMask>().unwrap().to_string(),
            "places.location,places.rating"
        );
    }
}
