//! `current_setting`: what clients ask a Postgres about itself before they ask anything else.

use std::sync::Arc;

use arrow::array::{Array, StringArray};
use arrow::datatypes::DataType;
use datafusion::common::cast::as_string_array;
use datafusion::common::{Result, exec_err};
use datafusion::logical_expr::{ColumnarValue, ScalarFunctionArgs, ScalarUDFImpl, Signature, Volatility};

/// What this server says of itself, by name. The version is that of the protocol's library.
const SETTINGS: &[(&str, &str)] = &[
    ("server_version_num", "160006"),
    ("server_version", "16.6"),
    ("search_path", "\"$user\", public"),
    ("timezone", "UTC"),
    ("default_transaction_read_only", "on"),
    ("server_encoding", "UTF8"),
    ("standard_conforming_strings", "on"),
];

/// `current_setting(name)` → text.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct CurrentSetting(Signature);

impl Default for CurrentSetting {
    fn default() -> Self {
        Self(Signature::exact(vec![DataType::Utf8], Volatility::Stable))
    }
}

impl ScalarUDFImpl for CurrentSetting {
    fn name(&self) -> &str {
        "current_setting"
    }

    fn signature(&self) -> &Signature {
        &self.0
    }

    fn return_type(&self, _: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let arrays = ColumnarValue::values_to_arrays(&arguments.args)?;
        let Some(names) = arrays.first() else { return exec_err!("current_setting wants a name") };
        let names = as_string_array(names)?;
        let values = names.iter().map(|name| {
            let Some(name) = name else { return Ok(None) };
            match SETTINGS.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)) {
                Some((_, value)) => Ok(Some(*value)),
                None => exec_err!("setting {name:?} is not known here"),
            }
        });
        let values: StringArray = values.collect::<Result<_>>()?;
        debug_assert_eq!(values.len(), names.len());
        Ok(ColumnarValue::Array(Arc::new(values)))
    }
}
