"""Files that hold several rasters: the one that `variable` names; and HDF4, which this GDAL may not read."""

import h5py
import numpy as np
import pytest
import rasterio
from rasters import SINUSOIDAL, north_up

from engine.errors import InputError
from engine.sources.entry import source_spec
from engine.sources.opening import open_source

NATIVE = north_up(7.0e6, 6.0e6, 1000.0, 6, 4, SINUSOIDAL)
WHOLE = (slice(0, 4), slice(0, 6))


def test_hdf4_says_how_to_convert(tmp_path):
    with rasterio.Env() as env:
        if "HDF4" in env.drivers():
            pytest.skip("this GDAL reads HDF4")
    path = tmp_path / "MOD13A3.A2001001.h25v03.061.hdf"
    path.write_bytes(b"\x0e\x03\x13\x01" + bytes(2000))
    with pytest.raises(InputError) as error:
        open_source("ndvi", source_spec(href=path.name), tmp_path)
    (problem,) = map(str, error.value.problems)
    assert problem.startswith(f"covariates.ndvi: {path}: is HDF4, which the installed GDAL cannot read.")
    assert "gdal_translate" in problem and "AppEEARS" in problem


_STRUCTURE = """GROUP=SwathStructure
END_GROUP=SwathStructure
GROUP=GridStructure
\tGROUP=GRID_1
\t\tGridName="MONTHLY"
\t\tXDim=6
\t\tYDim=4
\t\tUpperLeftPointMtrs=({left:f},{top:f})
\t\tLowerRightMtrs=({right:f},{bottom:f})
\t\tProjection=HE5_GCTP_SNSOID
\t\tProjParams=(6371007.181000,0,0,0,0,0,0,0,0,0,0,0,0)
\t\tSphereCode=-1
\t\tGridOrigin=HE5_HDFE_GD_UL
\t\tGROUP=Dimension
\t\tEND_GROUP=Dimension
\t\tGROUP=DataField
{fields}\t\tEND_GROUP=DataField
\t\tGROUP=MergedFields
\t\tEND_GROUP=MergedFields
\tEND_GROUP=GRID_1
END_GROUP=GridStructure
GROUP=PointStructure
END_GROUP=PointStructure
END
"""
_FIELD = """\t\t\tOBJECT=DataField_{number}
\t\t\t\tDataFieldName="{name}"
\t\t\t\tDataType=H5T_NATIVE_SHORT
\t\t\t\tDimList=("YDim","XDim")
\t\t\t\tMaxdimList=("YDim","XDim")
\t\t\tEND_OBJECT=DataField_{number}
"""


@pytest.fixture
def several(tmp_path):
    """An HDF-EOS5 file with two fields on a sinusoidal grid, as of VIIRS, which GDAL shows as subdatasets."""
    box, names = NATIVE.boundingbox, {"NDVI": 5, "EVI": 3}
    fields = "".join(_FIELD.format(number=i, name=name) for i, name in enumerate(names, 1))
    text = _STRUCTURE.format(left=box.left, top=box.top, right=box.right, bottom=box.bottom, fields=fields)
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["HDFEOS INFORMATION/StructMetadata.0"] = np.bytes_(text)
        for name, value in names.items():
            file[f"HDFEOS/GRIDS/MONTHLY/Data Fields/{name}"] = np.full((4, 6), value, "int16")
    return tmp_path


def test_the_variable_of_an_hdf_file(several):
    for name, value in (("NDVI", 5), ("EVI", 3)):
        source = open_source("v", source_spec(href="a.h5", variable=name), several)
        assert source.geobox.shape == (4, 6)
        assert np.allclose(source.geobox.boundingbox.bbox, NATIVE.boundingbox.bbox)
        assert "inusoidal" in source.geobox.crs.to_wkt()
        assert (source.read(WHOLE) == value).all()


@pytest.mark.parametrize(
    ("variable", "message"), [(None, "says not which variable"), ("NDWI", "has no variable 'NDWI'")]
)
def test_which_variables_there_are(several, variable, message):
    with pytest.raises(InputError, match=f"{message}.* holds .*NDVI.*; say which with `variable`"):
        open_source("v", source_spec(href="a.h5", variable=variable), several)
