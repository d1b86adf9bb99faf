SELECT CASE
           WHEN InvoiceNo LIKE 'C%' THEN 'cancellations'
           WHEN TRY_CAST(Quantity AS BIGINT) <= 0 THEN 'corrections of the stock'
           WHEN StockCode = 'POST' THEN 'postage'
       END AS reason
FROM invoices
WHERE reason IS NOT NULL
