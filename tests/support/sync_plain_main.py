"""The application of workers whose syncs are in the folder that `CELERIAC_SYNC_FOLDER` names."""

from celeriac import Celeriac
from celeriac.families.sync import SyncFamily

app = Celeriac("shop")
app.include_family(SyncFamily)
