"""The metadata that every table of Celeriac registers with.

Tables live with the code that owns them. Their names start with `celeriac_`, because the application may use the same
database. Constraint names follow one convention, so that migrations can name what they change.
"""

from sqlalchemy import MetaData

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)
