from ketameta.models.network.model import log_likelihood as log_likelihood
from ketameta.models.network.model import network_components as network_components
from ketameta.models.network.model import network_data as network_data
from ketameta.models.network.model import network_rows as network_rows
from ketameta.models.network.model import tall_qr as tall_qr
from ketameta.models.network.model import whiten as whiten
from ketameta.models.network.network import network_meta_analysis as network_meta_analysis
