"""GDAL virtual rasters: a window of a source in the place of the whole, warped with exact coordinates."""

import math
from xml.sax.saxutils import escape

import numpy as np
import rasterio
from affine import Affine
from odc.geo.geobox import GeoBox
from rasterio.io import MemoryFile

from engine.grid.grid import crs_of

_BANDS = {"float32": "Float32", "uint8": "Byte", "int32": "Int32"}
_KERNELS = {"nearest": "NearestNeighbour", "bilinear": "Bilinear", "cubic": "Cubic"}


_MOST_EXTRA = 256
"""Pixels by which GDAL's window may be wider than it needs to be, rather than found from every point."""


def resample(
    pixels: np.ndarray,
    corner: tuple[int, int],
    source: GeoBox,
    target: GeoBox,
    kernel: str,
    missing: float,
    stride: float = math.inf,
) -> np.ndarray:
    """Return values of the nearest pixels, or interpolated between them, at the cell centres of the target.

    Every coordinate is transformed exactly and counted from the corner of the whole source, and the kernel has the
    size of the source's pixels, so that a cell's value does not depend on the window or the target around it.

    Parameters
    ----------
    pixels : ndarray of float32, uint8 or int32, dims (y, x)
        A window of the source that holds all pixels which the kernel touches.
    corner : (int, int)
        Row and column of the window in the source.
    source, target : GeoBox
        The whole native grid; the part of the target grid.
    kernel : {"nearest", "bilinear", "cubic"}
    missing : float
        Value of a missing pixel, NaN or a code. Missing pixels take no part in an interpolation.
    stride : float
        Pixels between neighbours among 33 × 33 points spread over the target, at most; inf where that is not known.

    Returns
    -------
    ndarray, dims (y, x) of `target`
    """
    if target.shape.yx == (1, 1):  # GDAL finds no source window under a single cell
        pair = GeoBox((1, 2), target.affine, target.crs)
        return resample(pixels, corner, source, pair, kernel, missing)[:, :1]
    height, width = pixels.shape
    band = _BANDS[pixels.dtype.name]
    with MemoryFile() as memory:
        # The place is the virtual raster's affair; the transform only keeps GDAL from warning that it has none.
        with memory.open(
            driver="GTiff", height=height, width=width, count=1, dtype=pixels.dtype.name, transform=source.affine
        ) as file:
            file.write(pixels, 1)
        whole = _placed(memory.name, pixels.shape, corner, source, band, missing)
        with rasterio.open(_warped(whole, source, target, kernel, band, missing, stride)) as warped:
            return warped.read(1)


def _placed(
    file: str, shape: tuple[int, ...], corner: tuple[int, int], source: GeoBox, band: str, missing: float
) -> str:
    """Place the window in the whole source."""
    size = f'xSize="{shape[1]}" ySize="{shape[0]}"'
    return f"""<VRTDataset rasterXSize="{source.shape.x}" rasterYSize="{source.shape.y}">
<VRTRasterBand dataType="{band}" band="1"><NoDataValue>{missing!r}</NoDataValue>
<SimpleSource><SourceFilename relativeToVRT="0">{escape(file)}</SourceFilename><SourceBand>1</SourceBand>
<SrcRect xOff="0" yOff="0" {size}/><DstRect xOff="{corner[1]}" yOff="{corner[0]}" {size}/></SimpleSource>
</VRTRasterBand></VRTDataset>"""


def _warped(whole: str, source: GeoBox, target: GeoBox, kernel: str, band: str, missing: float, stride: float) -> str:
    """Warp the source to the target.

    GDAL's own tools put an approximation between it and the transformer, and rasterio insists on one.

    The pixels to read are found from points on a mesh, with as much around them as can lie between two points; where
    that is a lot, such as around a pole, from all points, which are then transformed twice.
    """
    extra = 8 + 2 * stride
    steps, extra = ("32", math.ceil(extra)) if extra <= _MOST_EXTRA else ("ALL", 8)
    return f"""<VRTDataset rasterXSize="{target.shape.x}" rasterYSize="{target.shape.y}" subClass="VRTWarpedDataset">
<GeoTransform>{_numbers(target.affine)}</GeoTransform>
<VRTRasterBand dataType="{band}" band="1" subClass="VRTWarpedRasterBand">
<NoDataValue>{missing!r}</NoDataValue></VRTRasterBand>
<GDALWarpOptions>
<ResampleAlg>{_KERNELS[kernel]}</ResampleAlg><WorkingDataType>{band}</WorkingDataType>
<Option name="INIT_DEST">NO_DATA</Option><Option name="XSCALE">1</Option><Option name="YSCALE">1</Option>
<Option name="SAMPLE_GRID">YES</Option><Option name="SAMPLE_STEPS">{steps}</Option>
<Option name="SOURCE_EXTRA">{extra}</Option>
<SourceDataset relativeToVRT="0">{escape(whole)}</SourceDataset>
<Transformer><GenImgProjTransformer>
<SrcGeoTransform>{_numbers(source.affine)}</SrcGeoTransform>
<SrcInvGeoTransform>{_numbers(~source.affine)}</SrcInvGeoTransform>
<DstGeoTransform>{_numbers(target.affine)}</DstGeoTransform>
<DstInvGeoTransform>{_numbers(~target.affine)}</DstInvGeoTransform>
<ReprojectTransformer><ReprojectionTransformer>
<SourceSRS>{escape(crs_of(source).to_wkt())}</SourceSRS><TargetSRS>{escape(crs_of(target).to_wkt())}</TargetSRS>
</ReprojectionTransformer></ReprojectTransformer>
</GenImgProjTransformer></Transformer>
<BandList><BandMapping src="1" dst="1">
<SrcNoDataReal>{missing!r}</SrcNoDataReal><DstNoDataReal>{missing!r}</DstNoDataReal></BandMapping></BandList>
</GDALWarpOptions></VRTDataset>"""


def _numbers(affine: Affine) -> str:
    return ", ".join(repr(float(v)) for v in affine.to_gdal())
